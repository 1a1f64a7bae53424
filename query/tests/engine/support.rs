//! A small set of tables, and an engine on it.

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use kappa::runtime::Kappa;
use kappa_query::session::SessionOptions;
use kappa_query::{Engine, QueryResult};
use std::path::Path;
use tempfile::TempDir;

/// Two tables of a few thousand rows, in several files each, with nulls.
pub(crate) async fn tables() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let context = SessionContext::new();
    let orders = "select value as id, value % 97 as customer, case when value % 11 = 0 then null else value % 13 end as kind, \
                  cast(value as decimal(12, 2)) / 7 as amount from generate_series(1, 20000) where value % 4 = ";
    let customers = "select value as id, 'customer ' || value as name from generate_series(0, 120) where value % 2 = ";
    for (table, text, files) in [("orders", orders, 4), ("customers", customers, 2)] {
        for file in 0..files {
            let path = folder.path().join(table).join(format!("part-{file}.parquet"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let rows = context.sql(&format!("{text}{file}")).await.unwrap();
            rows.write_parquet(path.to_str().unwrap(), Default::default(), None)
                .await
                .unwrap();
        }
    }
    folder
}

/// What plain DataFusion says.
pub(crate) async fn expected(folder: &Path, sql: &str) -> String {
    let context = SessionContext::new();
    for table in ["orders", "customers"] {
        let path = folder.join(table);
        context
            .register_parquet(table, path.to_str().unwrap(), ParquetReadOptions::default())
            .await
            .unwrap();
    }
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

/// An engine on the in-process platform with these tables.
pub(crate) async fn engine(kappa: Kappa, folder: &Path, can_resume: bool) -> Engine {
    let options = SessionOptions {
        partitions: 3,
        // Several units for each file of some tens of kilobytes. (One byte would make 4096 units of each table.)
        scan_unit_bytes: 8 << 10,
        ..SessionOptions::default()
    };
    let engine = Engine::on(kappa, options, 2, can_resume).unwrap();
    engine.register_folder(folder).await.unwrap();
    engine
}

/// The rows as a table.
pub(crate) fn shown(result: &QueryResult) -> String {
    pretty_format_batches(&result.batches).unwrap().to_string()
}

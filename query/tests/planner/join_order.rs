//! The order of joins.

use datafusion::physical_plan::displayable;
use kappa_query::explain::explain;
use kappa_query::stage::Stage;

use crate::support::Bench;

/// The tables in the order in which the plan joins them, from the inside out.
fn joined(text: &str) -> Vec<&str> {
    let tables = ["facts", "more", "dims", "keyed", "pairs"];
    text.lines()
        .filter(|line| line.contains("DataSourceExec"))
        .filter_map(|line| tables.into_iter().find(|table| line.contains(&format!("/{table}"))))
        .collect()
}

#[tokio::test]
async fn a_filtered_table_is_joined_before_one_that_multiplies_rows() {
    let bench = Bench::new().await;
    // `facts` and `more` have many rows for each key: joined first, as written, they make tens of thousands.
    let sql = "SELECT f.id, m.id, d.name FROM facts f JOIN more m ON f.k = m.k JOIN keyed d ON d.k = f.k \
               WHERE d.name = 'n3' AND m.v < f.v";
    bench.same(sql).await;
    let graph = bench.session().plan(sql).await.unwrap();
    let text = explain(&graph);
    let position = |part: &str| {
        let tree = |stage: &Stage| displayable(stage.fragment.as_ref()).indent(false).to_string();
        graph
            .stages
            .iter()
            .position(|stage| tree(stage).contains(part))
            .unwrap_or_else(|| panic!("{part}: {text}"))
    };
    assert!(position("name@1 = n3") < position("filter=v@"), "{text}");
    assert_eq!(joined(&text).last(), Some(&"more"), "{text}");
}

#[tokio::test]
async fn conditions_of_every_kind_survive_another_order() {
    let bench = Bench::new().await;
    bench
        .same(
            "SELECT f.id, m.id, p.w, d.name FROM facts f, more m, pairs p, dims d \
             WHERE f.k = m.k AND p.k = m.k + 1 AND d.k = f.k AND f.id + p.k = m.id + d.k AND m.v < f.v AND d.name = 'n3'",
        )
        .await;
    bench
        .same(
            "SELECT * FROM facts f JOIN more m ON f.k = m.k AND f.d > m.d JOIN keyed d ON d.k = f.k AND d.k = m.k \
             JOIN dims e ON e.name = d.name WHERE d.k = 12 AND f.g = 'elm'",
        )
        .await;
    // A table without any condition, and a subquery that mentions a table of the chain.
    bench
        .same(
            "SELECT count(*), min(f.id) FROM facts f, pairs p, keyed d, more m WHERE f.k = d.k AND m.id = f.id \
             AND d.name = 'n1' AND (p.k = 7 OR m.k IN (SELECT k FROM dims WHERE name = 'n2'))",
        )
        .await;
}

#[tokio::test]
async fn the_columns_keep_their_order() {
    let bench = Bench::new().await;
    let sql = "SELECT * FROM facts f JOIN more m ON f.k = m.k JOIN keyed d ON d.k = m.k AND d.k = f.k WHERE d.name = 'n3' AND f.id < 99";
    bench.same(sql).await;
    let names: Vec<String> = bench
        .session()
        .plan(sql)
        .await
        .unwrap()
        .schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names, ["id", "k", "g", "v", "d", "id", "k", "g", "v", "d", "k", "name"]);
}

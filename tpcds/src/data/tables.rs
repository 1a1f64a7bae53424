//! The 24 tables of the specification: their names, their columns, and where their rows come from.
//!
//! Rows come from the `tpcdsgen` crates, which follow the official generator bit by bit. What leaves this module has the
//! specification's types: 32-bit keys (64-bit for ticket and order numbers, which outgrow 32 bits at large scales), `decimal(7,2)`
//! and its like, dates, and plain strings. The crates give string *views*, which are mended here.

use crate::data::Scale;
use datafusion::arrow::array::{RecordBatch, RecordBatchReader};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use std::ops::RangeInclusive;
use std::sync::Arc;
use tpcdsgen::config::{Session, SessionBuilder, Table as SourceTable};
use tpcdsgen_arrow as arrow_tables;

/// One table of TPC-DS.
#[derive(Clone, Copy)]
pub struct Table {
    /// Its name in SQL.
    pub name: &'static str,
    source: SourceTable,
    /// The generator counts *source rows*; a sales order is one source row but about a dozen rows of the table.
    rows_per_source_row: f64,
    open: fn(Session, RangeInclusive<u64>) -> Box<dyn RecordBatchReader>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! tables {
    ($($name:literal $source:ident $reader:ident $factor:literal,)*) => {
        [$(Table {
            name: $name,
            source: SourceTable::$source,
            rows_per_source_row: $factor,
            open: |session, rows| {
                let reader = arrow_tables::$reader::new(session).with_source_row_range(*rows.start(), *rows.end());
                Box::new(reader)
            },
        },)*]
    };
}

/// All tables, in alphabetical order. The average numbers of line items per order were counted at scale 1.
pub const TABLES: [Table; 24] = tables! {
    "call_center" CallCenter CallCenterArrow 1.0,
    "catalog_page" CatalogPage CatalogPageArrow 1.0,
    "catalog_returns" CatalogReturns CatalogReturnsArrow 0.9,
    "catalog_sales" CatalogSales CatalogSalesArrow 9.0,
    "customer" Customer CustomerArrow 1.0,
    "customer_address" CustomerAddress CustomerAddressArrow 1.0,
    "customer_demographics" CustomerDemographics CustomerDemographicsArrow 1.0,
    "date_dim" DateDim DateDimArrow 1.0,
    "household_demographics" HouseholdDemographics HouseholdDemographicsArrow 1.0,
    "income_band" IncomeBand IncomeBandArrow 1.0,
    "inventory" Inventory InventoryArrow 1.0,
    "item" Item ItemArrow 1.0,
    "promotion" Promotion PromotionArrow 1.0,
    "reason" Reason ReasonArrow 1.0,
    "ship_mode" ShipMode ShipModeArrow 1.0,
    "store" Store StoreArrow 1.0,
    "store_returns" StoreReturns StoreReturnsArrow 1.2,
    "store_sales" StoreSales StoreSalesArrow 12.0,
    "time_dim" TimeDim TimeDimArrow 1.0,
    "warehouse" Warehouse WarehouseArrow 1.0,
    "web_page" WebPage WebPageArrow 1.0,
    "web_returns" WebReturns WebReturnsArrow 1.2,
    "web_sales" WebSales WebSalesArrow 12.0,
    "web_site" WebSite WebSiteArrow 1.0,
};

impl Table {
    /// The table of this name.
    pub fn named(name: &str) -> Option<&'static Table> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// About how many rows the table has at this scale: exact but for the sales and returns, which depend on chance.
    pub fn estimated_rows(&self, scale: Scale) -> u64 {
        (self.source_rows(scale) as f64 * self.rows_per_source_row) as u64
    }

    /// Cuts the table into ranges of source rows of about `rows_per_part` rows each, at most `most_parts` of them. The rows of all parts,
    /// one after the other, are the rows of the table.
    pub(crate) fn parts(&self, scale: Scale, rows_per_part: u64, most_parts: u64) -> Vec<RangeInclusive<u64>> {
        let source_rows = self.source_rows(scale);
        let wanted = self.estimated_rows(scale).div_ceil(rows_per_part.max(1));
        let parts = wanted.clamp(1, most_parts).min(source_rows.max(1));
        let boundary = |part: u64| (u128::from(source_rows) * u128::from(part) / u128::from(parts)) as u64;
        (0..parts).map(|part| boundary(part) + 1..=boundary(part + 1)).collect()
    }

    /// Generates the rows of one part.
    pub(crate) fn read(&self, scale: Scale, source_rows: RangeInclusive<u64>) -> Result<TableReader, ArrowError> {
        let session = session(scale).map_err(|error| ArrowError::InvalidArgumentError(error.to_string()))?;
        let source = (self.open)(session, source_rows);
        let schema = plain_strings(&source.schema());
        Ok(TableReader { source, schema })
    }

    fn source_rows(&self, scale: Scale) -> u64 {
        // A scale is within the bounds that a session accepts; should the crate ever narrow them, `read` reports it.
        session(scale).map_or(0, |session| session.get_scaling().get_row_count(self.source))
    }
}

fn session(scale: Scale) -> Result<Session, tpcdsgen::TpcdsError> {
    SessionBuilder::new().with_scale_factor(scale.factor()).build()
}

/// The rows of one part of a table, batch by batch.
pub(crate) struct TableReader {
    source: Box<dyn RecordBatchReader>,
    schema: SchemaRef,
}

impl TableReader {
    /// The columns, as the specification has them.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Iterator for TableReader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.source.next()?;
        Some(batch.and_then(|batch| {
            let cast_columns = batch
                .columns()
                .iter()
                .zip(self.schema.fields())
                .map(|(column, field)| cast(column, field.data_type()));
            RecordBatch::try_new(Arc::clone(&self.schema), cast_columns.collect::<Result<_, _>>()?)
        }))
    }
}

fn plain_strings(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8View => Field::new(field.name(), DataType::Utf8, field.is_nullable()),
        _ => field.as_ref().clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::compute::concat_batches;

    fn tiny() -> Scale {
        Scale::new(0.01).unwrap()
    }

    fn rows(table: &Table, range: RangeInclusive<u64>) -> Vec<RecordBatch> {
        table.read(tiny(), range).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn the_parts_of_a_table_are_the_table() {
        for table in &TABLES {
            if table.name == "customer_demographics" {
                continue; // 1.9 million rows at every scale; its rows depend on nothing but their number
            }
            let whole = table.parts(tiny(), u64::MAX, 1);
            assert_eq!(whole.len(), 1, "{table:?}");
            let schema = table.read(tiny(), whole[0].clone()).unwrap().schema();
            let whole = concat_batches(&schema, &rows(table, whole[0].clone())).unwrap();

            let parts = table.parts(tiny(), whole.num_rows() as u64 / 3 + 1, 7);
            assert!(parts.len() > 1 || whole.num_rows() < 4, "{table:?} {parts:?}");
            let parts: Vec<_> = parts.into_iter().flat_map(|part| rows(table, part)).collect();
            assert!(whole == concat_batches(&schema, &parts).unwrap(), "{table:?}");
        }
    }

    #[test]
    fn the_estimate_is_within_a_tenth_of_the_truth_at_scale_1() {
        // The specification's row counts for scale 1 (table 3-2); sales and returns as every generator since has produced them.
        let official = [
            ("call_center", 6),
            ("catalog_page", 11_718),
            ("catalog_returns", 144_067),
            ("catalog_sales", 1_441_548),
            ("customer", 100_000),
            ("customer_address", 50_000),
            ("customer_demographics", 1_920_800),
            ("date_dim", 73_049),
            ("household_demographics", 7_200),
            ("income_band", 20),
            ("inventory", 11_745_000),
            ("item", 18_000),
            ("promotion", 300),
            ("ship_mode", 20),
            ("store", 12),
            ("store_returns", 287_514),
            ("store_sales", 2_880_404),
            ("time_dim", 86_400),
            ("warehouse", 5),
            ("web_page", 60),
            ("web_returns", 71_763),
            ("web_sales", 719_384),
            ("web_site", 30),
        ];
        for (name, rows) in official {
            let estimate = Table::named(name).unwrap().estimated_rows(Scale::ONE) as f64;
            assert!(
                (estimate / f64::from(rows) - 1.0).abs() < 0.1,
                "{name}: {estimate} for {rows}"
            );
        }
    }

    /// Column names and types of the specification's tables (chapter 2), as one line per table.
    #[test]
    fn columns_have_the_names_and_types_of_the_specification() {
        let mut described = String::new();
        for table in &TABLES {
            let schema = table.read(tiny(), 1..=1).unwrap().schema();
            described.push_str(table.name);
            for field in schema.fields() {
                let kind = match field.data_type() {
                    DataType::Int32 => "int".to_owned(),
                    DataType::Int64 => "bigint".to_owned(),
                    DataType::Utf8 => "char".to_owned(),
                    DataType::Date32 => "date".to_owned(),
                    DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
                    other => panic!("{}.{} is a {other}", table.name, field.name()),
                };
                let required = if field.is_nullable() { "" } else { "!" };
                described.push_str(&format!(" {}:{kind}{required}", field.name()));
            }
            described.push('\n');
        }
        assert_eq!(described, include_str!("columns.txt"));
    }

    #[test]
    fn nulls_are_nulls_and_not_empty_strings() {
        let customer = rows(Table::named("customer").unwrap(), 1..=1000);
        let batch = &customer[0];
        let logins = batch.column_by_name("c_login").unwrap();
        assert_eq!(logins.null_count(), batch.num_rows());
        let names = batch.column_by_name("c_last_name").unwrap();
        assert!(names.null_count() > 0 && names.null_count() < batch.num_rows() / 5);
    }
}

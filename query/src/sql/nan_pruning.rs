//! Conditions on floats do not leave out row groups: Parquet's statistics know nothing of NaN, which is greater than every number.
//!
//! ```text
//!   WHERE x > 5 AND k = 1          statistics: x in 0..3, and there may be a NaN
//!   pruning by x > 5 AND k = 1     becomes     pruning by k = 1; the filter above stays as it is
//! ```

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// The rule; it comes after filters have been pushed down to the scans.
#[derive(Debug)]
pub(crate) struct NanPruning;

impl PhysicalOptimizerRule for NanPruning {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            Ok(match without_floats(&node)? {
                Some(scan) => Transformed::yes(scan),
                None => Transformed::no(node),
            })
        })
        .data()
    }

    fn name(&self) -> &str {
        "kappa_nan_pruning"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn without_floats(node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(config) = node
        .downcast_ref::<DataSourceExec>()
        .and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>())
    else {
        return Ok(None);
    };
    let Some(source) = config.file_source().downcast_ref::<ParquetSource>() else {
        return Ok(None);
    };
    let Some(predicate) = source.filter() else {
        return Ok(None);
    };
    let all = split_conjunction(&predicate);
    let schema = config.file_schema();
    let mut kept = Vec::new();
    for part in &all {
        if !has_float(part, schema)? {
            kept.push(Arc::clone(part));
        }
    }
    if kept.len() == all.len() {
        return Ok(None);
    }
    // (With `true`, nothing is left out.)
    let source: Arc<dyn FileSource> = Arc::new(source.with_predicate(conjunction(kept)));
    let config = FileScanConfigBuilder::from(config.clone()).with_source(source).build();
    Ok(Some(DataSourceExec::from_data_source(config)))
}

fn has_float(expr: &Arc<dyn PhysicalExpr>, schema: &datafusion::arrow::datatypes::Schema) -> Result<bool> {
    let mut found = false;
    expr.apply(|part| {
        let data_type = part.data_type(schema);
        found |= matches!(data_type, Ok(DataType::Float16 | DataType::Float32 | DataType::Float64));
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    Ok(found)
}

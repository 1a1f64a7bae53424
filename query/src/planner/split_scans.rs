//! Pass 6: scans get small units.
//!
//! ```text
//!   before: as many groups as threads         after: groups of about 16 MiB
//!
//!   DataSourceExec: 2 groups:                 DataSourceExec: 4 groups:
//!     [a:0..32M], [a:32M..64M]                  [a:0..16M], [a:16M..32M], [a:32M..48M], [a:48M..64M]
//! ```
//!
//! A partition of a scan is a unit, and a unit is what is done again after a kill: it should be small, but not smaller
//! than what is worth the message. Byte ranges are cut anywhere; a row group (a line of CSV or JSON) belongs to the range
//! it starts in.
//!
//! A scan with *one* partition is left alone: an operator above it may depend on there being one, without a node in the
//! plan that says so. (DataFusion splits every scan that may be split, if it is at all large.)

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::error::Result;
use crate::session::SessionOptions;

/// More units than this are not made of one scan: each costs a message and a file in the shuffle.
const MOST_UNITS: u64 = 4096;

/// # Errors
/// If a node refuses its new children, which would be a defect of DataFusion.
pub(super) fn split(plan: Arc<dyn ExecutionPlan>, options: &SessionOptions) -> Result<Arc<dyn ExecutionPlan>> {
    let mut config = ConfigOptions::new();
    config.optimizer.repartition_file_min_size = 1;
    let plan = plan.transform_up(|node| {
        let groups = node.downcast_ref::<DataSourceExec>().and_then(|scan| {
            let files = scan.data_source().downcast_ref::<FileScanConfig>()?;
            Some(&files.file_groups)
        });
        let partitions = node.output_partitioning().partition_count();
        let Some(groups) = groups.filter(|_| partitions > 1) else {
            return Ok(Transformed::no(node));
        };
        let bytes: u64 = groups
            .iter()
            .flat_map(|group| group.iter())
            .map(|file| file.effective_size())
            .sum();
        let units = bytes.div_ceil(options.scan_unit_bytes.max(1)).clamp(1, MOST_UNITS) as usize;
        if units <= partitions {
            return Ok(Transformed::no(node));
        }
        Ok(match node.repartitioned(units, &config)? {
            Some(split) => Transformed::yes(split),
            None => Transformed::no(node),
        })
    });
    Ok(plan.data()?)
}

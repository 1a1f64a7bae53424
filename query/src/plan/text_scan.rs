//! The bytes of a scan of text files.

use super::converter::leave_out_statistics;
use super::nodes::KappaCodec;
use super::wire;
use crate::tables::text::{Format, TextSource};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::physical_planning_context::ScalarSubqueryResults;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::proto::{ExecutionPlanDecode, ExecutionPlanDecodeCtx};
use datafusion_proto::physical_plan::{PhysicalPlanDecodeContext, PhysicalProtoConverterExtension};
use datafusion_proto::protobuf;
use datafusion_proto::protobuf::physical_plan_node::PhysicalPlanType;
use prost::Message;
use std::sync::Arc;

/// A scan of text files as it is written.
pub(crate) struct TextScan {
    /// What all scans have: files, columns, projection.
    pub(crate) base: protobuf::FileScanExecConf,
    /// What stands between the values of CSV; `None` for JSON.
    pub(crate) delimiter: Option<u8>,
    /// Whether files can be cut at line breaks.
    pub(crate) can_be_cut: bool,
}

impl TextScan {
    /// The node of a plan that says so.
    pub(crate) fn into_node(self) -> protobuf::PhysicalPlanNode {
        let TextScan {
            mut base,
            delimiter,
            can_be_cut,
        } = self;
        leave_out_statistics(&mut base);
        let scan = wire::TextScan {
            base: Some(base),
            delimiter: delimiter.map(u32::from),
            can_be_cut,
        };
        let extension = wire::Extension {
            node: Some(wire::Node::TextScan(scan)),
        };
        let extension = protobuf::PhysicalExtensionNode {
            node: extension.encode_to_vec(),
            inputs: vec![],
        };
        protobuf::PhysicalPlanNode {
            physical_plan_type: Some(PhysicalPlanType::Extension(extension)),
        }
    }
}

/// The scan again.
pub(super) fn scan_from_wire(
    scan: &wire::TextScan,
    context: &TaskContext,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(base) = &scan.base else {
        return plan_err!("a scan of text files without files");
    };
    let format = match scan.delimiter.map(u8::try_from) {
        None => Format::Json,
        Some(Ok(delimiter)) => Format::Csv { delimiter },
        Some(Err(_)) => return plan_err!("a delimiter is one byte"),
    };
    let table_schema = FileScanConfig::parse_table_schema_from_proto(base)?;
    let source = TextSource::new(format, scan.can_be_cut, table_schema);
    let decoder = Expressions { context, converter };
    let config = FileScanConfig::try_from_proto(base, &ExecutionPlanDecodeCtx::new(&decoder), Arc::new(source))?;
    Ok(DataSourceExec::from_data_source(config))
}

/// Reads the expressions of a leaf: it has no inputs.
struct Expressions<'a> {
    context: &'a TaskContext,
    converter: &'a dyn PhysicalProtoConverterExtension,
}

impl ExecutionPlanDecode for Expressions<'_> {
    fn decode_plan(&self, _node: &protobuf::PhysicalPlanNode) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("a scan has no inputs")
    }

    fn decode_plan_with_scalar_subquery_results(
        &self,
        _node: &protobuf::PhysicalPlanNode,
        _results: ScalarSubqueryResults,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!("a scan has no inputs")
    }

    fn decode_expr(&self, node: &protobuf::PhysicalExprNode, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
        let context = PhysicalPlanDecodeContext::new(self.context, &KappaCodec);
        self.converter.proto_to_physical_expr(node, schema, &context)
    }

    fn task_ctx(&self) -> &TaskContext {
        self.context
    }

    fn decode_udf(&self, name: &str, _payload: Option<&[u8]>) -> Result<Arc<ScalarUDF>> {
        internal_err!("a scan calls {name} by itself")
    }

    fn decode_udaf(&self, name: &str, _payload: Option<&[u8]>) -> Result<Arc<AggregateUDF>> {
        internal_err!("a scan calls {name} by itself")
    }

    fn decode_udwf(&self, name: &str, _payload: Option<&[u8]>) -> Result<Arc<WindowUDF>> {
        internal_err!("a scan calls {name} by itself")
    }
}

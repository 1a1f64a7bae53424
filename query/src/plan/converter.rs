//! Writes and reads the nodes and expressions of a plan, one by one, and corrects what DataFusion's protocol gets wrong.
//!
//! The table of what is corrected is in [`super::codec`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::{Result as DataFusionResult, ScalarValue, internal_datafusion_err, plan_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, NegativeExpr, lit};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion_proto::physical_plan::from_proto::parse_physical_expr_with_converter;
use datafusion_proto::physical_plan::to_proto::serialize_physical_expr_with_converter;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalPlanNodeExt, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use datafusion_proto::protobuf::physical_expr_node::ExprType;
use datafusion_proto::protobuf::physical_plan_node::PhysicalPlanType;
use prost::Message;

use super::nodes::leaf_to_wire;
use super::{scans, windows, wire};
use crate::deep::deep;

/// Writes plans, and notes what passes by. Every node and every expression of a plan goes through it.
#[derive(Default)]
pub(super) struct Encoder {
    /// The slots of scalar subqueries that expressions read.
    pub(super) scalar_subqueries: RefCell<BTreeSet<usize>>,
    /// Whether an expression is volatile.
    pub(super) volatile: Cell<bool>,
    /// How many nodes are being written, one within another.
    depth: Cell<usize>,
    /// How many expressions are, of one node.
    expr_depth: Cell<usize>,
}

/// How many nodes are written as messages within messages: what reads them refuses more than a hundred of those, of which a node takes two
/// or three, and its expressions need some.
const NESTED: usize = 12;

/// The same of expressions, of which each takes up to four.
const NESTED_EXPRS: usize = 8;

impl PhysicalProtoConverterExtension for Encoder {
    fn execution_plan_to_proto(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> DataFusionResult<protobuf::PhysicalPlanNode> {
        let depth = self.depth.replace(self.depth.get() + 1);
        let expr_depth = self.expr_depth.replace(0);
        let node = deep(|| self.node_to_proto(plan, codec));
        self.depth.set(depth);
        self.expr_depth.set(expr_depth);
        match depth {
            0 => node,
            _ if depth.is_multiple_of(NESTED) => extension(
                wire::Node::Nested(wire::Nested {
                    node: node?.encode_to_vec(),
                }),
                vec![],
            ),
            _ => node,
        }
    }

    fn physical_expr_to_proto(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> DataFusionResult<protobuf::PhysicalExprNode> {
        if let Some(subquery) = expr.downcast_ref::<ScalarSubqueryExpr>() {
            // The index is needed to give the fragment its own slots.
            #[expect(deprecated)]
            let slot = subquery.index().as_usize();
            self.scalar_subqueries.borrow_mut().insert(slot);
        }
        if expr.is_volatile_node() {
            self.volatile.set(true);
        }
        let depth = self.expr_depth.replace(self.expr_depth.get() + 1);
        let written = deep(|| serialize_physical_expr_with_converter(expr, codec, self));
        self.expr_depth.set(depth);
        match depth {
            0 => written,
            _ if depth.is_multiple_of(NESTED_EXPRS) => Ok(nested_expr(&written?)),
            _ => written,
        }
    }

    fn proto_to_execution_plan(
        &self,
        proto: &protobuf::PhysicalPlanNode,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Decoder::default().proto_to_execution_plan(proto, context)
    }

    fn proto_to_physical_expr(
        &self,
        proto: &protobuf::PhysicalExprNode,
        schema: &Schema,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        Decoder::default().proto_to_physical_expr(proto, schema, context)
    }
}

impl Encoder {
    fn node_to_proto(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> DataFusionResult<protobuf::PhysicalPlanNode> {
        check_limits(plan)?;
        let is_constant_leaf = plan.is::<EmptyExec>() || plan.is::<PlaceholderRowExec>();
        if is_constant_leaf && plan.output_partitioning().partition_count() == 0 {
            return extension(leaf_to_wire(plan)?, vec![]);
        }
        if plan.is::<UnionExec>() || plan.is::<InterleaveExec>() {
            let inputs =
                plan.children().into_iter().enumerate().map(|(position, input)| {
                    self.execution_plan_to_proto(without_coercions(input, position == 0), codec)
                });
            let inputs = inputs.collect::<DataFusionResult<_>>()?;
            let node = match plan.is::<UnionExec>() {
                true => PhysicalPlanType::Union(protobuf::UnionExecNode { inputs }),
                false => PhysicalPlanType::Interleave(protobuf::InterleaveExecNode { inputs }),
            };
            return Ok(protobuf::PhysicalPlanNode {
                physical_plan_type: Some(node),
            });
        }
        let mut node =
            protobuf::PhysicalPlanNode::try_from_physical_plan_with_converter(Arc::clone(plan), codec, self)?;
        leave_out_local_state(&mut node);
        if let Some(config) = scans::file_scan(plan) {
            let scan = scans::to_wire(config, node)?;
            return extension(wire::Node::Scan(Box::new(scan)), vec![]);
        }
        if let Some(PhysicalPlanType::Window(window)) = node.physical_plan_type {
            let (window, input) = windows::to_wire(plan, *window)?;
            return extension(wire::Node::Window(window), vec![input]);
        }
        Ok(node)
    }
}

/// Reads plans.
#[derive(Clone, Copy, Default)]
pub(super) struct Decoder {
    /// Exactly as they were written, to be compared with what that was. What is run may be read as something safer.
    #[allow(
        dead_code,
        reason = "nothing is read as something safer yet; whatever will be, asks this"
    )]
    pub(super) as_written: bool,
}

impl PhysicalProtoConverterExtension for Decoder {
    fn proto_to_execution_plan(
        &self,
        proto: &protobuf::PhysicalPlanNode,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        deep(|| node_from_proto(proto, context, self))
    }

    fn proto_to_physical_expr(
        &self,
        proto: &protobuf::PhysicalExprNode,
        schema: &Schema,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        if let Some(nested) = nested_in(proto) {
            let proto = protobuf::PhysicalExprNode::decode(nested.node.as_slice());
            let proto = proto.map_err(|e| internal_datafusion_err!("{e}"))?;
            return deep(|| self.proto_to_physical_expr(&proto, schema, context));
        }
        let expr = deep(|| parse_physical_expr_with_converter(proto, schema, context, self))?;
        match self.as_written {
            true => Ok(expr),
            false => checked(expr, schema),
        }
    }

    fn execution_plan_to_proto(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> DataFusionResult<protobuf::PhysicalPlanNode> {
        Encoder::default().execution_plan_to_proto(plan, codec)
    }

    fn physical_expr_to_proto(
        &self,
        expr: &Arc<dyn PhysicalExpr>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> DataFusionResult<protobuf::PhysicalExprNode> {
        Encoder::default().physical_expr_to_proto(expr, codec)
    }
}

/// Arithmetic that fails where DataFusion's would wrap around. The protocol does not carry the flag, so it is set for all.
fn checked(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>()
        && matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply)
    {
        return Ok(Arc::new(binary.clone().with_fail_on_overflow(true)));
    }
    if let Some(negative) = expr.downcast_ref::<NegativeExpr>()
        && let data_type = negative.arg().data_type(schema)?
        && data_type.is_signed_integer()
    {
        let zero = lit(ScalarValue::new_zero(&data_type)?);
        let binary = BinaryExpr::new(zero, Operator::Minus, Arc::clone(negative.arg()));
        return Ok(Arc::new(binary.with_fail_on_overflow(true)));
    }
    Ok(expr)
}

/// A node from its message.
fn node_from_proto(
    proto: &protobuf::PhysicalPlanNode,
    context: &PhysicalPlanDecodeContext<'_>,
    decoder: &Decoder,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    // Here and not in the codec, which does not know the slots of scalar subqueries.
    if let Some(PhysicalPlanType::Extension(extension)) = &proto.physical_plan_type
        && let Ok(wire::Extension { node: Some(node) }) = wire::Extension::decode(extension.node.as_slice())
    {
        match (node, extension.inputs.as_slice()) {
            (wire::Node::Window(window), [input]) => {
                let input = decoder.proto_to_execution_plan(input, context)?;
                return windows::from_wire(&window, input, context, decoder);
            }
            (wire::Node::Scan(scan), []) => {
                let Some(node) = &scan.node else {
                    return plan_err!("a scan without its node");
                };
                return scans::from_wire(&scan, &node.try_into_physical_plan_with_context(context, decoder)?);
            }
            (wire::Node::Nested(nested), []) => {
                let node = protobuf::PhysicalPlanNode::decode(nested.node.as_slice());
                let node = node.map_err(|e| internal_datafusion_err!("{e}"))?;
                return decoder.proto_to_execution_plan(&node, context);
            }
            _ => {}
        }
    }
    proto.try_into_physical_plan_with_context(context, decoder)
}

/// A node that DataFusion has no message for.
fn extension(
    node: wire::Node,
    inputs: Vec<protobuf::PhysicalPlanNode>,
) -> DataFusionResult<protobuf::PhysicalPlanNode> {
    let node = wire::Extension { node: Some(node) }.encode_to_vec();
    let extension = protobuf::PhysicalExtensionNode { node, inputs };
    Ok(protobuf::PhysicalPlanNode {
        physical_plan_type: Some(PhysicalPlanType::Extension(extension)),
    })
}

/// An expression as the bytes of its message.
fn nested_expr(written: &protobuf::PhysicalExprNode) -> protobuf::PhysicalExprNode {
    let node = wire::Node::Nested(wire::Nested {
        node: written.encode_to_vec(),
    });
    let expr = wire::Extension { node: Some(node) }.encode_to_vec();
    protobuf::PhysicalExprNode {
        expr_id: None,
        expr_type: Some(ExprType::Extension(protobuf::PhysicalExtensionExprNode {
            expr,
            inputs: vec![],
        })),
    }
}

fn nested_in(proto: &protobuf::PhysicalExprNode) -> Option<wire::Nested> {
    let Some(ExprType::Extension(extension)) = &proto.expr_type else {
        return None;
    };
    match wire::Extension::decode(extension.expr.as_slice()).ok()?.node {
        Some(wire::Node::Nested(nested)) if extension.inputs.is_empty() => Some(nested),
        _ => None,
    }
}

/// Refuses numbers that DataFusion's protocol would cut to 32 bits.
fn check_limits(plan: &Arc<dyn ExecutionPlan>) -> DataFusionResult<()> {
    let numbers = if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        // A fetch is written with 63 bits, a skip with 32.
        [Some(limit.skip()), None]
    } else if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
        [Some(limit.fetch()), None]
    } else if plan.is::<FilterExec>() {
        [plan.fetch(), None]
    } else if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        let config = scan.data_source().downcast_ref::<FileScanConfig>();
        [config.and_then(|config| config.limit), scan.fetch()]
    } else {
        return Ok(());
    };
    match numbers
        .into_iter()
        .flatten()
        .find(|number| u32::try_from(*number).is_err())
    {
        Some(number) => plan_err!(
            "LIMIT or OFFSET {number} is too large: at most {} is possible",
            u32::MAX
        ),
        None => Ok(()),
    }
}

/// A union's input without the projections that only adapt names and nullability to the union's: whoever reads the union
/// makes them again. The union takes its names from the first input, which therefore keeps them.
pub(super) fn without_coercions(mut input: &Arc<dyn ExecutionPlan>, keep_names: bool) -> &Arc<dyn ExecutionPlan> {
    while let Some(projection) = input.downcast_ref::<ProjectionExec>() {
        let schema = projection.input().schema();
        let is_coercion = projection.expr().len() == schema.fields().len()
            && projection
                .expr()
                .iter()
                .zip(schema.fields())
                .enumerate()
                .all(|(position, (column, field))| {
                    let inner = column
                        .expr
                        .downcast_ref::<CastExpr>()
                        .map_or(&column.expr, |cast| cast.expr());
                    let same_type = column
                        .expr
                        .data_type(&schema)
                        .is_ok_and(|data_type| data_type == *field.data_type());
                    let same_column = inner
                        .downcast_ref::<Column>()
                        .is_some_and(|inner| inner.index() == position);
                    same_type && same_column && (!keep_names || column.alias == *field.name())
                });
        if !is_coercion {
            break;
        }
        input = projection.input();
    }
    input
}

/// Removes what has a meaning only in the process, or only for the whole of a file.
fn leave_out_local_state(node: &mut protobuf::PhysicalPlanNode) {
    let scan = match &mut node.physical_plan_type {
        Some(PhysicalPlanType::Sort(sort)) => {
            sort.dynamic_filter = None;
            return;
        }
        Some(PhysicalPlanType::HashJoin(join)) => {
            join.dynamic_filter = None;
            return;
        }
        Some(PhysicalPlanType::Aggregate(aggregate)) => {
            aggregate.dynamic_filter = None;
            return;
        }
        Some(PhysicalPlanType::ParquetScan(scan)) => scan.base_conf.as_mut(),
        Some(PhysicalPlanType::CsvScan(scan)) => scan.base_conf.as_mut(),
        Some(PhysicalPlanType::JsonScan(scan)) => scan.base_conf.as_mut(),
        Some(PhysicalPlanType::ArrowScan(scan)) => scan.base_conf.as_mut(),
        _ => None,
    };
    if let Some(scan) = scan {
        leave_out_statistics(scan);
    }
}

/// Statistics describe whole files, and are large.
pub(super) fn leave_out_statistics(scan: &mut protobuf::FileScanExecConf) {
    if let Some(statistics) = &mut scan.statistics {
        statistics.num_rows = None;
        statistics.total_byte_size = None;
        for column in &mut statistics.column_stats {
            *column = Default::default();
        }
    }
    for file in scan.file_groups.iter_mut().flat_map(|group| &mut group.files) {
        file.statistics = None;
    }
}

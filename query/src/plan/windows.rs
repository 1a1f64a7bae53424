//! The bytes of window expressions.
//!
//! DataFusion's message for a window expression holds neither `IGNORE NULLS` of a window function nor the mark that a function was
//! turned round because the planner turned the order of its window round. Here the message is kept, and both are written beside it. A
//! `FILTER` has no message either, and cannot be read from the expression: it has become an argument long before
//! ([`filtered`](super::filtered)), and one that is still there is refused.

use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::window::{SlidingAggregateWindowExpr, StandardWindowExpr};
use datafusion::physical_plan::windows::{
    BoundedWindowAggExec, PlainAggregateWindowExpr, WindowAggExec, WindowExpr, WindowUDFExpr, create_udwf_window_expr,
};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};
use datafusion_proto::physical_plan::from_proto::parse_physical_window_expr;
use datafusion_proto::physical_plan::{PhysicalPlanDecodeContext, PhysicalProtoConverterExtension};
use datafusion_proto::protobuf;
use datafusion_proto::protobuf::window_agg_exec_node::InputOrderMode as WireOrderMode;

use super::nodes::KappaCodec;
use super::wire::{Window, WindowMarks};

/// The message for a node of window expressions, of which DataFusion has made `node`, and the input of it.
pub(super) fn to_wire(
    plan: &Arc<dyn ExecutionPlan>,
    mut node: protobuf::WindowAggExecNode,
) -> Result<(Window, protobuf::PhysicalPlanNode)> {
    let Some(exprs) = window_exprs(plan) else {
        return internal_err!("{} is no node of window expressions", plan.name());
    };
    let Some(input) = node.input.take() else {
        return internal_err!("{} has no input", plan.name());
    };
    let marks = exprs.iter().map(marks_of).collect::<Result<_>>()?;
    let window = Window {
        node: Some(node),
        marks,
    };
    Ok((window, *input))
}

/// The node that [`to_wire`] has written, over `input`.
pub(super) fn from_wire(
    window: &Window,
    input: Arc<dyn ExecutionPlan>,
    context: &PhysicalPlanDecodeContext<'_>,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Window {
        node: Some(node),
        marks,
    } = window
    else {
        return plan_err!("window expressions without their node");
    };
    let protobuf::WindowAggExecNode {
        input: _,
        window_expr,
        partition_keys,
        input_order_mode,
    } = node;
    if window_expr.len() != marks.len() {
        return plan_err!("{} window expressions and {} marks", window_expr.len(), marks.len());
    }
    let schema = input.schema();
    let exprs = window_expr.iter().zip(marks).map(|(proto, marks)| {
        let expr = parse_physical_window_expr(proto, context, &schema, converter)?;
        marked(expr, &schema, *marks)
    });
    let exprs = exprs.collect::<Result<Vec<_>>>()?;
    let can_repartition = !partition_keys.is_empty();
    let mode = match input_order_mode {
        None => return Ok(Arc::new(WindowAggExec::try_new(exprs, input, can_repartition)?)),
        Some(WireOrderMode::Linear(_)) => InputOrderMode::Linear,
        Some(WireOrderMode::PartiallySorted(protobuf::PartiallySortedInputOrderMode { columns })) => {
            InputOrderMode::PartiallySorted(columns.iter().map(|column| *column as usize).collect())
        }
        Some(WireOrderMode::Sorted(_)) => InputOrderMode::Sorted,
    };
    Ok(Arc::new(BoundedWindowAggExec::try_new(
        exprs,
        input,
        mode,
        can_repartition,
    )?))
}

/// The same for who drives DataFusion's protocol without our converter.
pub(super) fn from_wire_alone(
    window: &Window,
    inputs: &[Arc<dyn ExecutionPlan>],
    context: &TaskContext,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Arc<dyn ExecutionPlan>> {
    let [input] = inputs else {
        return plan_err!("window expressions over {} inputs", inputs.len());
    };
    let decode_context = PhysicalPlanDecodeContext::new(context, &KappaCodec);
    from_wire(window, Arc::clone(input), &decode_context, converter)
}

/// The window expressions of a node of either kind.
pub(crate) fn window_exprs(plan: &Arc<dyn ExecutionPlan>) -> Option<&[Arc<dyn WindowExpr>]> {
    let bounded = plan.downcast_ref::<BoundedWindowAggExec>();
    let whole = plan.downcast_ref::<WindowAggExec>();
    let bounded = bounded.map(BoundedWindowAggExec::window_expr);
    bounded.or_else(|| whole.map(WindowAggExec::window_expr))
}

/// The window function of an expression that is none of an aggregate.
pub(crate) fn window_function(expr: &Arc<dyn WindowExpr>) -> Option<&WindowUDFExpr> {
    let standard = expr.as_any().downcast_ref::<StandardWindowExpr>()?;
    standard.get_standard_func_expr().as_any().downcast_ref()
}

/// Whether the function passes over NULLs.
///
/// # Errors
/// If that cannot be told.
pub(crate) fn ignores_nulls(function: &WindowUDFExpr) -> Result<bool> {
    Ok(marks_of_function(function)?.ignores_nulls)
}

fn marks_of(expr: &Arc<dyn WindowExpr>) -> Result<WindowMarks> {
    if let Some(function) = window_function(expr) {
        return marks_of_function(function);
    }
    let Some(aggregate) = aggregate_of(expr) else {
        return plan_err!("the window function {} has no serialised form", expr.name());
    };
    // There is no other way to ask: `filter` is the last field of both structures.
    if !format!("{expr:?}").ends_with(", filter: None }") {
        return plan_err!("FILTER of {} has no serialised form", expr.name());
    }
    if !aggregate.order_bys().is_empty() {
        return plan_err!("ORDER BY inside {} has no serialised form", expr.name());
    }
    Ok(WindowMarks {
        is_reversed: aggregate.is_reversed(),
        ignores_nulls: aggregate.ignore_nulls(),
    })
}

/// The marks have no getters, but are the last fields of what the structure derives for its debug output. If that changes, this fails.
fn marks_of_function(function: &WindowUDFExpr) -> Result<WindowMarks> {
    let text = format!("{function:?}");
    for is_reversed in [false, true] {
        for ignores_nulls in [false, true] {
            if text.ends_with(&format!(
                ", is_reversed: {is_reversed}, ignore_nulls: {ignores_nulls} }}"
            )) {
                return Ok(WindowMarks {
                    is_reversed,
                    ignores_nulls,
                });
            }
        }
    }
    plan_err!("the window function {} has no serialised form", function.fun().name())
}

fn aggregate_of(expr: &Arc<dyn WindowExpr>) -> Option<&AggregateFunctionExpr> {
    let any = expr.as_any();
    let plain = any.downcast_ref::<PlainAggregateWindowExpr>();
    let sliding = any.downcast_ref::<SlidingAggregateWindowExpr>();
    let plain = plain.map(PlainAggregateWindowExpr::get_aggregate_expr);
    plain.or_else(|| sliding.map(SlidingAggregateWindowExpr::get_aggregate_expr))
}

/// The expression with its marks, of which DataFusion has read what its message holds.
fn marked(expr: Arc<dyn WindowExpr>, schema: &Schema, marks: WindowMarks) -> Result<Arc<dyn WindowExpr>> {
    let WindowMarks {
        is_reversed,
        ignores_nulls,
    } = marks;
    let (partition_by, order_by) = (expr.partition_by(), expr.order_by());
    let frame = Arc::clone(expr.get_window_frame());
    if let Some(function) = window_function(&expr) {
        // A function is turned round by asking it for its reverse; which is turned round twice, here.
        let upright = match function.fun().reverse_expr() {
            datafusion::logical_expr::ReversedUDWF::Reversed(reverse) if is_reversed => reverse,
            _ => Arc::clone(function.fun()),
        };
        let name = expr.name().to_owned();
        let made = create_udwf_window_expr(&upright, function.args(), schema, name, ignores_nulls)?;
        let made = match is_reversed {
            true => made.reverse_expr(),
            false => Some(made),
        };
        let Some(made) = made else {
            return plan_err!("the window function {} cannot be turned round", expr.name());
        };
        return Ok(Arc::new(StandardWindowExpr::new(made, partition_by, order_by, frame)));
    }
    let Some(aggregate) = aggregate_of(&expr) else {
        return plan_err!("the window function {} is of no known kind", expr.name());
    };
    if !is_reversed {
        return Ok(expr);
    }
    let reversed = AggregateExprBuilder::new(Arc::new(aggregate.fun().clone()), aggregate.expressions())
        .schema(Arc::new(schema.clone()))
        .alias(aggregate.name())
        .with_ignore_nulls(ignores_nulls)
        .with_distinct(aggregate.is_distinct())
        .with_reversed(true)
        .build()?;
    let reversed = Arc::new(reversed);
    Ok(match expr.as_any().is::<PlainAggregateWindowExpr>() {
        true => Arc::new(PlainAggregateWindowExpr::new(
            reversed,
            partition_by,
            order_by,
            frame,
            None,
        )),
        false => Arc::new(SlidingAggregateWindowExpr::new(
            reversed,
            partition_by,
            order_by,
            frame,
            None,
        )),
    })
}

//! Aggregates of floats over frames that slide are computed from the rows of the frame alone.
//!
//! DataFusion subtracts what leaves a frame from what it has. For floats that is no way back: once there was 1e300, the small numbers beside it
//! are gone, and infinity minus itself is NaN for ever. Here the states of the rows in a frame are kept in two stacks, so that none is ever
//! taken out of another:
//!
//! ```text
//!   rows of the frame     a  b  c  |  d  e         a leaves: the first state is dropped
//!   states                abc  bc  c | de          none is left: those of d, e are made from the last row to the first
//!   result                abc + de
//! ```

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, WindowFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, GroupsAccumulator, Operator, ReversedUDAF, SetMonotonicity,
    Signature, StatisticsArgs,
};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::{Debug, Formatter};
use std::sync::Arc;

/// What the names of the functions begin with that compute with floats; `sum` has a function of its own.
const NAMES: [&str; 6] = ["avg", "corr", "covar", "regr", "stddev", "var"];

/// Functions that stand for those of a session that compute with floats.
pub(crate) fn framed_functions<'a>(functions: impl Iterator<Item = &'a Arc<AggregateUDF>>) -> Vec<AggregateUDF> {
    // A session knows a function by each of its names.
    let by_name: BTreeMap<&str, &Arc<AggregateUDF>> = functions.map(|function| (function.name(), function)).collect();
    let computes = |name: &str| NAMES.iter().any(|beginning| name.starts_with(beginning));
    by_name
        .into_iter()
        .filter(|(name, _)| computes(name))
        .map(|(_, inner)| AggregateUDF::from(Framed { inner: inner.clone() }))
        .collect()
}

/// The accumulator for a sliding frame, if this aggregate computes with floats.
pub(super) fn framed(
    args: &AccumulatorArgs<'_>,
    function: impl Fn(AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> + Send + Sync + 'static,
) -> Option<Box<dyn Accumulator>> {
    let is_float = |field: &FieldRef| matches!(field.data_type(), DataType::Float32 | DataType::Float64);
    if args.is_distinct || !args.expr_fields.iter().any(is_float) {
        return None;
    }
    let kept = KeptArgs::of(args);
    Some(Box::new(Frame {
        empty: Box::new(move || function(kept.args())),
        older: Vec::new(),
        newer: VecDeque::new(),
        newer_state: None,
    }))
}

/// Arguments that are kept, to make accumulators when they are needed.
struct KeptArgs {
    return_field: FieldRef,
    schema: Schema,
    ignore_nulls: bool,
    order_bys: Vec<PhysicalSortExpr>,
    is_reversed: bool,
    name: String,
    is_distinct: bool,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    expr_fields: Vec<FieldRef>,
}

impl KeptArgs {
    fn of(args: &AccumulatorArgs<'_>) -> KeptArgs {
        KeptArgs {
            return_field: args.return_field.clone(),
            schema: args.schema.clone(),
            ignore_nulls: args.ignore_nulls,
            order_bys: args.order_bys.to_vec(),
            is_reversed: args.is_reversed,
            name: args.name.to_owned(),
            is_distinct: args.is_distinct,
            exprs: args.exprs.to_vec(),
            expr_fields: args.expr_fields.to_vec(),
        }
    }

    fn args(&self) -> AccumulatorArgs<'_> {
        AccumulatorArgs {
            return_field: self.return_field.clone(),
            schema: &self.schema,
            ignore_nulls: self.ignore_nulls,
            order_bys: &self.order_bys,
            is_reversed: self.is_reversed,
            name: &self.name,
            is_distinct: self.is_distinct,
            exprs: &self.exprs,
            expr_fields: &self.expr_fields,
        }
    }
}

type State = Vec<ScalarValue>;

/// The rows of a frame.
struct Frame {
    /// Makes an accumulator of nothing.
    empty: Box<dyn Fn() -> Result<Box<dyn Accumulator>> + Send + Sync>,
    /// For each of the older rows the state of it and all older rows behind it; the oldest row comes last.
    older: Vec<State>,
    /// The newer rows, in order: arrays of one row.
    newer: VecDeque<Vec<ArrayRef>>,
    /// Their state.
    newer_state: Option<Box<dyn Accumulator>>,
}

impl Debug for Frame {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("rows", &(self.older.len() + self.newer.len()))
            .finish_non_exhaustive()
    }
}

impl Frame {
    /// Makes states of the newer rows, of which the oldest is then on top.
    fn turn(&mut self) -> Result<()> {
        let mut behind = (self.empty)()?;
        while let Some(row) = self.newer.pop_back() {
            behind.update_batch(&row)?;
            self.older.push(behind.state()?);
        }
        self.newer_state = None;
        Ok(())
    }

    /// An accumulator of all rows.
    fn all(&mut self) -> Result<Box<dyn Accumulator>> {
        let mut all = (self.empty)()?;
        if let Some(state) = self.older.last() {
            all.merge_batch(&arrays(state)?)?;
        }
        if let Some(newer) = &mut self.newer_state {
            all.merge_batch(&arrays(&newer.state()?)?)?;
        }
        Ok(all)
    }
}

fn arrays(state: &[ScalarValue]) -> Result<Vec<ArrayRef>> {
    state.iter().map(ScalarValue::to_array).collect()
}

fn rows_of(values: &[ArrayRef]) -> usize {
    values.first().map_or(0, |values| values.len())
}

impl Accumulator for Frame {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..rows_of(values) {
            self.newer
                .push_back(values.iter().map(|values| values.slice(row, 1)).collect());
        }
        let newer = match &mut self.newer_state {
            Some(newer) => newer,
            None => self.newer_state.insert((self.empty)()?),
        };
        newer.update_batch(values)
    }

    // The rows that come first leave first.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for _ in 0..rows_of(values) {
            if self.older.is_empty() {
                self.turn()?;
            }
            if self.older.pop().is_none() {
                return exec_err!("a row leaves a window's frame that is not in it");
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.all()?.evaluate()
    }

    fn size(&self) -> usize {
        let states = self.older.iter().map(|state| state.len() * size_of::<ScalarValue>());
        let rows = self.newer.iter().map(|row| row.len() * size_of::<ArrayRef>());
        size_of::<Self>() + states.sum::<usize>() + rows.sum::<usize>()
    }

    fn state(&mut self) -> Result<State> {
        self.all()?.state()
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        exec_err!("the aggregate of a window's frame is not computed in parts")
    }
}

/// A function that computes over sliding frames as this module says, and is `inner` in all else.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Framed {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Framed {
    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let inner = self.inner.clone();
        match framed(&args, move |args| inner.accumulator(args)) {
            Some(frame) => Ok(frame),
            None => self.inner.create_sliding_accumulator(args),
        }
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.inner.inner().schema_name(params)
    }

    fn human_display(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.inner.inner().human_display(params)
    }

    fn window_function_schema_name(&self, params: &WindowFunctionParams) -> Result<String> {
        self.inner.inner().window_function_schema_name(params)
    }

    fn display_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        self.inner.inner().display_name(params)
    }

    fn window_function_display_name(&self, params: &WindowFunctionParams) -> Result<String> {
        self.inner.inner().window_function_display_name(params)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(arg_fields)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.inner.inner().simplify()
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        arg: &Expr,
        op: Operator,
        literal: &Expr,
        arg_is_left: bool,
    ) -> Result<Option<Expr>> {
        self.inner
            .inner()
            .simplify_expr_op_literal(function, arg, op, literal, arg_is_left)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.inner().reverse_expr() {
            ReversedUDAF::Identical => ReversedUDAF::Identical,
            ReversedUDAF::NotSupported | ReversedUDAF::Reversed(_) => ReversedUDAF::NotSupported,
        }
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        self.inner.value_from_stats(statistics)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }

    fn supports_within_group_clause(&self) -> bool {
        self.inner.supports_within_group_clause()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }
}

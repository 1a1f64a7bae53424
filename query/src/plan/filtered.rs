//! `FILTER (WHERE ..)` of a window aggregate as an argument of an aggregate function.
//!
//! ```text
//!   sum(x) FILTER (WHERE c) OVER w   =   "filtered sum"(c, x) OVER w
//! ```
//!
//! DataFusion keeps the condition in a field that nobody can read, so that it can neither be sent to a worker nor be told from no condition.
//! As an argument it is planned, pruned, sent and shown like any other expression. There is one such function for each aggregate function
//! of a session, in the sessions of workers too.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::arrow::compute::{filter, prep_null_mask_filter};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature};

/// What the name of such a function begins with; no name that is written without quotes does.
const PREFIX: &str = "filtered ";

/// The name of the function that is `name` with a condition as its first argument.
pub(crate) fn filtered_name(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The function that feeds `inner` those rows only for which its first argument is true.
pub(crate) fn filtered(inner: &AggregateUDF) -> AggregateUDF {
    AggregateUDF::new_from_impl(Filtered {
        name: filtered_name(inner.name()),
        signature: Signature::user_defined(inner.signature().volatility),
        inner: inner.clone(),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Filtered {
    name: String,
    signature: Signature,
    inner: AggregateUDF,
}

impl Filtered {
    fn inner_args<'a>(&self, args: AccumulatorArgs<'a>) -> Result<AccumulatorArgs<'a>> {
        match (args.exprs.split_first(), args.expr_fields.split_first()) {
            (Some((_, exprs)), Some((_, expr_fields))) => Ok(AccumulatorArgs {
                exprs,
                expr_fields,
                ..args
            }),
            _ => plan_err!("{} without a condition", self.name),
        }
    }
}

impl AggregateUDFImpl for Filtered {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The inner function's arguments have been coerced before this one took its place.
    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types.get(1..).unwrap_or_default())
    }

    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        self.inner.return_field(arg_fields.get(1..).unwrap_or_default())
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let inner = self.inner.accumulator(self.inner_args(args)?)?;
        Ok(Box::new(FilteredAccumulator { inner }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let inner = self.inner.create_sliding_accumulator(self.inner_args(args)?)?;
        Ok(Box::new(FilteredAccumulator { inner }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let input_fields = args.input_fields.get(1..).unwrap_or_default();
        self.inner.state_fields(StateFieldsArgs { input_fields, ..args })
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }
}

/// Hands on the rows whose condition is true; a condition that is NULL is not.
#[derive(Debug)]
struct FilteredAccumulator {
    inner: Box<dyn Accumulator>,
}

fn passing(values: &[ArrayRef]) -> Result<Option<Vec<ArrayRef>>> {
    let Some((condition, values)) = values.split_first() else {
        return exec_err!("a filtered aggregate without a condition");
    };
    let Some(condition) = condition.as_any().downcast_ref::<BooleanArray>() else {
        return exec_err!("FILTER is of type {}, and must be a condition", condition.data_type());
    };
    let condition = match condition.nulls() {
        Some(_) => prep_null_mask_filter(condition),
        None => condition.clone(),
    };
    if condition.true_count() == 0 {
        return Ok(None);
    }
    let passing = values.iter().map(|array| filter(array, &condition));
    Ok(Some(passing.collect::<std::result::Result<_, _>>()?))
}

impl Accumulator for FilteredAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match passing(values)? {
            Some(values) => self.inner.update_batch(&values),
            None => Ok(()),
        }
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match passing(values)? {
            Some(values) => self.inner.retract_batch(&values),
            None => Ok(()),
        }
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.inner.evaluate()
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }
}

/// The functions for all of these, save for those that are such functions themselves.
pub(crate) fn filtered_functions<'a>(functions: impl Iterator<Item = &'a Arc<AggregateUDF>>) -> Vec<AggregateUDF> {
    let plain = functions.filter(|function| !function.name().starts_with(PREFIX));
    plain.map(|function| filtered(function)).collect()
}

//! Aggregates that are computed by another type's: values are converted on the way in, results on the way out.

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use std::fmt::Debug;

/// How values and results are converted.
pub(super) trait Conversion: Debug + Clone + Send + Sync + 'static {
    /// A value as the other type has it.
    fn value(&self, values: &ArrayRef) -> Result<ArrayRef>;

    /// A result of the other type.
    fn result(&self, results: &ArrayRef) -> Result<ArrayRef>;
}

fn all<C: Conversion>(conversion: &C, values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    values.iter().map(|values| conversion.value(values)).collect()
}

/// For one group.
#[derive(Debug)]
pub(super) struct Converted<C> {
    pub(super) inner: Box<dyn Accumulator>,
    pub(super) conversion: C,
}

impl<C: Conversion> Accumulator for Converted<C> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&all(&self.conversion, values)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&all(&self.conversion, values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let result = self.inner.evaluate()?.to_array()?;
        ScalarValue::try_from_array(&self.conversion.result(&result)?, 0)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }
}

/// For many groups.
pub(super) struct ConvertedGroups<C> {
    pub(super) inner: Box<dyn GroupsAccumulator>,
    pub(super) conversion: C,
}

impl<C: Conversion> GroupsAccumulator for ConvertedGroups<C> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        let values = all(&self.conversion, values)?;
        self.inner.update_batch(&values, groups, filter, count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        self.conversion.result(&self.inner.evaluate(emit_to)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.inner.merge_batch(values, groups, count)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(&all(&self.conversion, values)?, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}

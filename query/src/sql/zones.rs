//! A text with a zone is no timestamp without one, and no date: others leave the zone out, DataFusion converts to UTC.
//!
//! What is written in the query is refused while it is planned, what stands in a column when it is read, by the function
//! [`without_zone`]. (`TRY_CAST` gives NULL.)

use super::rewritten;
use datafusion::arrow::array::{ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, lit,
};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

/// The rule; it comes after types have been made to match.
#[derive(Debug)]
pub(crate) struct Zones;

impl AnalyzerRule for Zones {
    fn name(&self) -> &str {
        "kappa_zones"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewritten(plan, checked)
    }
}

fn checked(mut part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (text, is_tried) = match &mut part {
        Expr::Cast(Cast { expr, field }) if has_no_zone(field.data_type()) => (expr, false),
        Expr::TryCast(TryCast { expr, field }) if has_no_zone(field.data_type()) => (expr, true),
        _ => return Ok(Transformed::no(part)),
    };
    if let Expr::Literal(literal, _) = text.as_ref() {
        return match literal.try_as_str().flatten().is_some_and(has_zone) && !is_tried {
            true => plan_err!("{}", refused(&literal.to_string())),
            false => Ok(Transformed::no(part)),
        };
    }
    if !is_text(&text.get_type(schema)?) {
        return Ok(Transformed::no(part));
    }
    let checked = without_zone().call(vec![std::mem::take(text.as_mut()), lit(is_tried)]);
    *text.as_mut() = checked;
    Ok(Transformed::yes(part))
}

fn has_no_zone(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64
    )
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        other => other.is_string(),
    }
}

/// Whether a text says in which zone its time is.
fn has_zone(text: &str) -> bool {
    // Behind the date there are no other signs.
    let time = text.trim().get(10..).unwrap_or_default();
    time.ends_with(['Z', 'z']) || time.contains(['+', '-'])
}

fn refused(text: &str) -> String {
    format!(
        "{text} has a zone, and the type that it is cast to has none; leave out the zone, or cast to timestamptz first, which keeps the moment"
    )
}

/// The function that gives a text, or fails if that has a zone (gives NULL, if its second argument says so).
pub(crate) fn without_zone() -> ScalarUDF {
    ScalarUDF::from(WithoutZone {
        signature: Signature::any(2, Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WithoutZone {
    signature: Signature,
}

impl ScalarUDFImpl for WithoutZone {
    fn name(&self) -> &str {
        "without_zone"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [texts, ColumnarValue::Scalar(ScalarValue::Boolean(Some(is_tried)))] = args.args.as_slice() else {
            return internal_err!("a text and whether it is tried were expected");
        };
        let array: ArrayRef = cast(&texts.to_array(args.number_rows)?, &DataType::Utf8)?;
        let texts: &StringArray = array.as_string();
        let Some(found) = texts.iter().flatten().find(|text| has_zone(text)) else {
            return Ok(ColumnarValue::Array(array));
        };
        if !is_tried {
            return exec_err!("{}", refused(&format!("the text '{found}'")));
        }
        let without: StringArray = texts.iter().map(|text| text.filter(|text| !has_zone(text))).collect();
        Ok(ColumnarValue::Array(Arc::new(without)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_told_from_the_signs_of_a_date() {
        for text in [
            "2020-01-01 00:00:00+02",
            "2020-01-01T00:00:00Z",
            " 2020-01-01T00:00:00-02:30",
        ] {
            assert!(has_zone(text), "{text}");
        }
        for text in ["2020-01-01", "2020-01-01 00:00:00", "", "日本", "2020-01-01T00:00:00.5"] {
            assert!(!has_zone(text), "{text}");
        }
    }
}

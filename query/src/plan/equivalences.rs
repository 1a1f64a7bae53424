//! What survives a shuffle of the facts "these columns are always equal" and "this column is constant".
//!
//! A plan is correct because of such facts: after a join on `a = b`, rows that are partitioned by `a` are partitioned by
//! `b` too, and a sort by `(a, c)` below `a = 5` is a sort by `c`. Cutting must not forget them, or the fragment above
//! the cut looks wrong although it is right. A fact that holds for every partition of the producer holds for any
//! selection of its rows. Not kept: constants whose value is unknown or differs from partition to partition, expressions
//! that read a scalar subquery's value or are volatile, and all orderings.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_expr::equivalence::{AcrossPartitions, ConstExpr};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};

/// Groups of expressions that are equal in every row.
#[derive(Debug, Clone, Default)]
pub struct Equivalences {
    pub(crate) classes: Vec<Class>,
}

/// Expressions that are equal in every row.
#[derive(Debug, Clone)]
pub(crate) struct Class {
    pub(crate) exprs: Vec<Arc<dyn PhysicalExpr>>,
    /// Their value, if it is known to be the same in all rows.
    pub(crate) constant: Option<ScalarValue>,
}

impl Equivalences {
    /// The facts that hold after the rows described by `properties` were shuffled in any way.
    pub fn of(properties: &EquivalenceProperties) -> Self {
        let constants = properties.constants();
        let constant_of = |expr: &Arc<dyn PhysicalExpr>| {
            let known = constants.iter().find(|constant| constant.expr.eq(expr))?;
            match &known.across_partitions {
                AcrossPartitions::Uniform(value) => value.clone(),
                AcrossPartitions::Heterogeneous => None,
            }
        };
        let mut classes = Vec::new();
        for class in properties.eq_group().iter() {
            let exprs: Vec<_> = class
                .iter()
                .filter(|expr| means_the_same_everywhere(expr))
                .cloned()
                .collect();
            let constant = exprs.iter().find_map(constant_of);
            if exprs.len() > 1 || (exprs.len() == 1 && constant.is_some()) {
                classes.push(Class { exprs, constant });
            }
        }
        Self { classes }
    }

    /// The properties of rows with these facts and no order.
    ///
    /// # Errors
    /// If an expression does not fit the schema.
    pub fn properties(&self, schema: SchemaRef) -> Result<EquivalenceProperties> {
        let mut properties = EquivalenceProperties::new(schema);
        for Class { exprs, constant } in &self.classes {
            let Some(first) = exprs.first() else { continue };
            for other in &exprs[1..] {
                properties.add_equal_conditions(Arc::clone(first), Arc::clone(other))?;
            }
            if let Some(value) = constant {
                let across = AcrossPartitions::Uniform(Some(value.clone()));
                properties.add_constants([ConstExpr::new(Arc::clone(first), across)])?;
            }
        }
        Ok(properties)
    }
}

/// Whether the expression has the same value in the consumer of a shuffle as in its producer.
fn means_the_same_everywhere(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let depends_on_process = expr
        .exists(|part| Ok(part.is::<ScalarSubqueryExpr>() || part.is_volatile_node()))
        .unwrap_or(true);
    !depends_on_process
}

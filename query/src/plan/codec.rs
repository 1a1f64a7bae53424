//! Fragments, stages and stage graphs to bytes and back.
//!
//! Guarantees: what comes back means the same as what went in ([`super::meaning`] compares it), or there is an
//! error; the same plan gives the same bytes (which is how equal stages are found); no process-local state travels.
//!
//! DataFusion's own protocol does most of it. It is corrected where it would change the meaning of a fragment:
//!
//! | node | what DataFusion's protocol does | here |
//! |---|---|---|
//! | `EmptyExec`, `PlaceholderRowExec` of no partitions | come back with one: an extra row | our own message |
//! | limits above 2³² | are cut off silently | an error |
//! | `UnionExec`, `InterleaveExec` | put a cast on inputs whose nullability differs, once more each time | the casts stay behind |
//! | dynamic filters of sorts, joins, aggregates | travel, with random ids | left out: they wait for sibling partitions |
//! | windows | forget IGNORE NULLS, and that a function was turned round; a FILTER silently | our own message; a FILTER is an argument, or an error |
//! | scans of files | forget compression, line ends, JSON arrays, e-tags | our own message; what else there may be is an error |
//! | file statistics | travel with every file of every scan | left out: wrong for parts of a file, and large |
//! | anything it has no message for | fails | [`ShuffleReaderExec`](super::ShuffleReaderExec) has one, the rest fails |

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::{DataFusionError, exec_datafusion_err, internal_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalPlanDecodeContext, PhysicalProtoConverterExtension};
use datafusion_proto::protobuf;
use prost::Message;

use super::converter::{Decoder, Encoder};
pub use super::nodes::KappaCodec;
use super::nodes::{Functions, NotingCodec, count, exchange_from_wire, exchange_to_wire, schema_from_wire};
use super::wire;
use crate::error::{QueryError, Result};
use crate::stage::{Stage, StageGraph, StageId};

/// A fragment as bytes.
///
/// # Errors
/// If the fragment holds a node or an expression that has no serialised form.
pub fn encode_plan(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<u8>> {
    Ok(Encoded::of(plan)?.node.encode_to_vec())
}

/// A fragment from bytes; `context` knows the functions it calls.
///
/// # Errors
/// If the bytes are not those of a fragment, or it calls a function that `context` does not know.
pub fn decode_plan(bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    let node = protobuf::PhysicalPlanNode::decode(bytes).map_err(|e| not_a("plan fragment", &e))?;
    decode_node(&node, context, Decoder::default())
}

/// A fragment exactly as it was written.
#[cfg(test)]
pub(super) fn decode_plan_as_written(bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    let node = protobuf::PhysicalPlanNode::decode(bytes).map_err(|e| not_a("plan fragment", &e))?;
    decode_node(&node, context, Decoder { as_written: true })
}

impl Stage {
    /// The stage as bytes, to be sent to whoever runs its units.
    ///
    /// # Errors
    /// See [`encode_plan`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(self.to_wire()?.encode_to_vec())
    }

    /// The stage from bytes.
    ///
    /// # Errors
    /// See [`decode_plan`].
    pub fn from_bytes(bytes: &[u8], context: &TaskContext) -> Result<Stage> {
        let stage = wire::Stage::decode(bytes).map_err(|e| not_a("stage", &e))?;
        Stage::from_wire(stage, context, Decoder::default())
    }

    fn to_wire(&self) -> Result<wire::Stage> {
        let Stage {
            id,
            fragment,
            units,
            output,
            inputs,
        } = self;
        let what = || format!("stage {id} cannot be written as bytes");
        let encoder = Encoder::default();
        Ok(wire::Stage {
            id: id.0,
            fragment: Some(Encoded::of(fragment)?.node),
            units: *units as u64,
            output: Some(exchange_to_wire(output, &encoder).map_err(|e| QueryError::codec(what(), e))?),
            inputs: inputs.iter().map(|input| input.0).collect(),
        })
    }

    fn from_wire(stage: wire::Stage, context: &TaskContext, decoder: Decoder) -> Result<Stage> {
        let wire::Stage {
            id,
            fragment,
            units,
            output,
            inputs,
        } = stage;
        let what = || format!("stage {id} cannot be read");
        let missing = |field: &str| QueryError::codec(what(), internal_datafusion_err!("it has no {field}"));
        let fragment = decode_node(&fragment.ok_or_else(|| missing("fragment"))?, context, decoder)?;
        let output = exchange_from_wire(
            output.ok_or_else(|| missing("output"))?,
            fragment.schema().as_ref(),
            context,
            &decoder,
        )
        .map_err(|e| QueryError::codec(what(), e))?;
        let units = count(units).map_err(|e| QueryError::codec(what(), e))?;
        Ok(Stage {
            id: StageId(id),
            fragment,
            units,
            output,
            inputs: inputs.into_iter().map(StageId).collect(),
        })
    }
}

impl StageGraph {
    /// The whole graph as bytes.
    ///
    /// # Errors
    /// See [`encode_plan`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let StageGraph { stages, schema } = self;
        let schema: protobuf::Schema = schema
            .as_ref()
            .try_into()
            .map_err(|e| schema_error("the result's schema cannot be written", e))?;
        let graph = wire::Graph {
            stages: stages.iter().map(Stage::to_wire).collect::<Result<_>>()?,
            schema: Some(schema),
            count: stages.len() as u32,
        };
        Ok(graph.encode_to_vec())
    }

    /// The graph from bytes; `context` knows the functions it calls.
    ///
    /// # Errors
    /// See [`decode_plan`].
    pub fn from_bytes(bytes: &[u8], context: &TaskContext) -> Result<StageGraph> {
        Self::read(bytes, context, Decoder::default())
    }

    /// The graph exactly as it was written, to be compared with what that was.
    ///
    /// # Errors
    /// See [`decode_plan`].
    pub(crate) fn from_bytes_as_written(bytes: &[u8], context: &TaskContext) -> Result<StageGraph> {
        Self::read(bytes, context, Decoder { as_written: true })
    }

    fn read(bytes: &[u8], context: &TaskContext, decoder: Decoder) -> Result<StageGraph> {
        let wire::Graph { stages, schema, count } = wire::Graph::decode(bytes).map_err(|e| not_a("stage graph", &e))?;
        if stages.len() != count as usize {
            let problem = exec_datafusion_err!("it has {} of {count} stages", stages.len());
            return Err(QueryError::codec("the stage graph is not whole", problem));
        }
        let schema = schema_from_wire(schema.as_ref())
            .map_err(|e| QueryError::codec("the result's schema cannot be read", e))?;
        let stages = stages
            .into_iter()
            .map(|stage| Stage::from_wire(stage, context, decoder))
            .collect::<Result<_>>()?;
        Ok(StageGraph { stages, schema })
    }
}

/// A serialised fragment and what was seen on the way.
pub(crate) struct Encoded {
    pub(crate) node: protobuf::PhysicalPlanNode,
    /// The slots of scalar subqueries that expressions of the fragment read.
    pub(crate) scalar_subqueries: BTreeSet<usize>,
    /// Whether running it twice may give different rows: `random()` and the like, aggregate and window functions too.
    pub(crate) volatile: bool,
    /// The names of the functions that it calls.
    pub(crate) functions: BTreeSet<String>,
}

impl Encoded {
    /// # Errors
    /// See [`encode_plan`].
    pub(crate) fn of(plan: &Arc<dyn ExecutionPlan>) -> Result<Encoded> {
        let encoder = Encoder::default();
        let codec = NotingCodec::default();
        let node = encoder
            .execution_plan_to_proto(plan, &codec)
            .map_err(|e| QueryError::codec("a plan fragment cannot be written as bytes", e))?;
        let Functions { names, any_volatile } = codec.functions();
        Ok(Encoded {
            node,
            scalar_subqueries: encoder.scalar_subqueries.into_inner(),
            volatile: encoder.volatile.into_inner() || any_volatile,
            functions: names,
        })
    }
}

fn decode_node(
    node: &protobuf::PhysicalPlanNode,
    context: &TaskContext,
    decoder: Decoder,
) -> Result<Arc<dyn ExecutionPlan>> {
    let decode_context = PhysicalPlanDecodeContext::new(context, &KappaCodec);
    decoder
        .proto_to_execution_plan(node, &decode_context)
        .map_err(|e| QueryError::codec("a plan fragment cannot be read from bytes", e))
}

fn schema_error(what: &str, error: impl Into<DataFusionError>) -> QueryError {
    QueryError::codec(what, error.into())
}

fn not_a(what: &str, error: &prost::DecodeError) -> QueryError {
    QueryError::codec(
        format!("these bytes are not a {what}"),
        internal_datafusion_err!("{error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{DataType, FieldRef};
    use datafusion::logical_expr::function::{AccumulatorArgs, PartitionEvaluatorArgs, WindowUDFFieldArgs};
    use datafusion::logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, PartitionEvaluator, Signature, Volatility, WindowUDF,
        WindowUDFImpl,
    };
    use datafusion::prelude::SessionContext;

    /// An aggregate and a window function that give something else each time, as far as they say.
    #[derive(Debug, PartialEq, Eq, Hash)]
    struct Dice(Signature);

    impl AggregateUDFImpl for Dice {
        fn name(&self) -> &str {
            "dice"
        }

        fn signature(&self) -> &Signature {
            &self.0
        }

        fn return_type(&self, _: &[DataType]) -> datafusion::common::Result<DataType> {
            Ok(DataType::Int64)
        }

        fn accumulator(&self, _: AccumulatorArgs) -> datafusion::common::Result<Box<dyn Accumulator>> {
            unreachable!("it is only planned")
        }
    }

    impl WindowUDFImpl for Dice {
        fn name(&self) -> &str {
            "wdice"
        }

        fn signature(&self) -> &Signature {
            &self.0
        }

        fn partition_evaluator(
            &self,
            _: PartitionEvaluatorArgs,
        ) -> datafusion::common::Result<Box<dyn PartitionEvaluator>> {
            #[derive(Debug)]
            struct Nothing;
            impl PartitionEvaluator for Nothing {}
            Ok(Box::new(Nothing))
        }

        fn field(&self, args: WindowUDFFieldArgs) -> datafusion::common::Result<FieldRef> {
            Ok(Arc::new(datafusion::arrow::datatypes::Field::new(
                args.name(),
                DataType::Int64,
                true,
            )))
        }

        fn limit_effect(
            &self,
            _: &[Arc<dyn datafusion::physical_plan::PhysicalExpr>],
        ) -> datafusion::logical_expr::LimitEffect {
            datafusion::logical_expr::LimitEffect::Unknown
        }
    }

    async fn is_volatile(sql: &str) -> bool {
        let context = SessionContext::new();
        let signature = || Signature::any(1, Volatility::Volatile);
        context.register_udaf(AggregateUDF::from(Dice(signature())));
        context.register_udwf(WindowUDF::from(Dice(signature())));
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let encoded = Encoded::of(&plan).unwrap();
        encoded.volatile
    }

    /// TRAPS q13: two draws are not one.
    #[tokio::test]
    async fn q13_volatile_aggregate_and_window_functions_make_a_fragment_volatile() {
        const ROWS: &str = "FROM (VALUES (1), (2)) AS t(x)";
        for call in ["dice(x)", "wdice(x) OVER ()", "dice(x) OVER ()", "sum(x + random())"] {
            assert!(is_volatile(&format!("SELECT {call} {ROWS}")).await, "{call}");
        }
        for call in ["sum(x)", "lag(x) OVER (ORDER BY x)", "sum(x) OVER ()"] {
            assert!(!is_volatile(&format!("SELECT {call} {ROWS}")).await, "{call}");
        }
    }
}

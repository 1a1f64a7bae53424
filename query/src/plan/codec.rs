//! Fragments, stages and stage graphs to bytes and back.
//!
//! Guarantees: what comes back has the same tree, schema, partition count and order as what went in, or there is an
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
//! | file statistics | travel with every file of every scan | left out: wrong for parts of a file, and large |
//! | anything it has no message for | fails | [`ShuffleReaderExec`] has one, the rest fails |

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result as DataFusionResult, ScalarValue, internal_datafusion_err, plan_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
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
use datafusion_proto::protobuf::physical_plan_node::PhysicalPlanType;
use prost::Message;

use super::equivalences::Class;
use super::{Equivalences, ShuffleReaderExec, wire};
use crate::error::{QueryError, Result};
use crate::stage::{Exchange, Stage, StageGraph, StageId};

/// The extension codec of this crate's plan nodes, for code that drives `datafusion-proto` itself.
///
/// [`encode_plan`] and [`decode_plan`] use it; they also correct what DataFusion's protocol gets wrong (see the module).
#[derive(Debug, Default, Clone, Copy)]
pub struct KappaCodec;

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
    decode_node(&node, context)
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
        Stage::from_wire(stage, context)
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

    fn from_wire(stage: wire::Stage, context: &TaskContext) -> Result<Stage> {
        let wire::Stage {
            id,
            fragment,
            units,
            output,
            inputs,
        } = stage;
        let what = || format!("stage {id} cannot be read");
        let missing = |field: &str| QueryError::codec(what(), internal_datafusion_err!("it has no {field}"));
        let fragment = decode_node(&fragment.ok_or_else(|| missing("fragment"))?, context)?;
        let output = exchange_from_wire(
            output.ok_or_else(|| missing("output"))?,
            fragment.schema().as_ref(),
            context,
            &Decoder,
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
        };
        Ok(graph.encode_to_vec())
    }

    /// The graph from bytes; `context` knows the functions it calls.
    ///
    /// # Errors
    /// See [`decode_plan`].
    pub fn from_bytes(bytes: &[u8], context: &TaskContext) -> Result<StageGraph> {
        let wire::Graph { stages, schema } = wire::Graph::decode(bytes).map_err(|e| not_a("stage graph", &e))?;
        let schema = schema_from_wire(schema.as_ref())
            .map_err(|e| QueryError::codec("the result's schema cannot be read", e))?;
        let stages = stages
            .into_iter()
            .map(|stage| Stage::from_wire(stage, context))
            .collect::<Result<_>>()?;
        Ok(StageGraph { stages, schema })
    }
}

/// A serialised fragment and what was seen on the way.
pub(crate) struct Encoded {
    pub(crate) node: protobuf::PhysicalPlanNode,
    /// The slots of scalar subqueries that expressions of the fragment read.
    pub(crate) scalar_subqueries: BTreeSet<usize>,
    /// Whether running it twice may give different rows: `random()` and the like.
    pub(crate) volatile: bool,
}

impl Encoded {
    /// # Errors
    /// See [`encode_plan`].
    pub(crate) fn of(plan: &Arc<dyn ExecutionPlan>) -> Result<Encoded> {
        let encoder = Encoder::default();
        let node = encoder
            .execution_plan_to_proto(plan, &KappaCodec)
            .map_err(|e| QueryError::codec("a plan fragment cannot be written as bytes", e))?;
        Ok(Encoded {
            node,
            scalar_subqueries: encoder.scalar_subqueries.into_inner(),
            volatile: encoder.volatile.into_inner(),
        })
    }
}

fn decode_node(node: &protobuf::PhysicalPlanNode, context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    let decode_context = PhysicalPlanDecodeContext::new(context, &KappaCodec);
    Decoder
        .proto_to_execution_plan(node, &decode_context)
        .map_err(|e| QueryError::codec("a plan fragment cannot be read from bytes", e))
}

/// Writes plans, and notes what passes by. Every node and every expression of a plan goes through it.
#[derive(Default)]
struct Encoder {
    scalar_subqueries: RefCell<BTreeSet<usize>>,
    volatile: Cell<bool>,
}

impl PhysicalProtoConverterExtension for Encoder {
    fn execution_plan_to_proto(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> DataFusionResult<protobuf::PhysicalPlanNode> {
        check_limits(plan)?;
        let is_constant_leaf = plan.is::<EmptyExec>() || plan.is::<PlaceholderRowExec>();
        if is_constant_leaf && plan.output_partitioning().partition_count() == 0 {
            let mut node = Vec::new();
            codec.try_encode(Arc::clone(plan), &mut node, self)?;
            let extension = protobuf::PhysicalExtensionNode { node, inputs: vec![] };
            return Ok(protobuf::PhysicalPlanNode {
                physical_plan_type: Some(PhysicalPlanType::Extension(extension)),
            });
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
        Ok(node)
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
        serialize_physical_expr_with_converter(expr, codec, self)
    }

    fn proto_to_execution_plan(
        &self,
        proto: &protobuf::PhysicalPlanNode,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Decoder.proto_to_execution_plan(proto, context)
    }

    fn proto_to_physical_expr(
        &self,
        proto: &protobuf::PhysicalExprNode,
        schema: &Schema,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        Decoder.proto_to_physical_expr(proto, schema, context)
    }
}

/// Reads plans.
struct Decoder;

impl PhysicalProtoConverterExtension for Decoder {
    fn proto_to_execution_plan(
        &self,
        proto: &protobuf::PhysicalPlanNode,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        proto.try_into_physical_plan_with_context(context, self)
    }

    fn proto_to_physical_expr(
        &self,
        proto: &protobuf::PhysicalExprNode,
        schema: &Schema,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        parse_physical_expr_with_converter(proto, schema, context, self)
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
fn without_coercions(mut input: &Arc<dyn ExecutionPlan>, keep_names: bool) -> &Arc<dyn ExecutionPlan> {
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
    let Some(scan) = scan else { return };
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

impl PhysicalExtensionCodec for KappaCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let extension = wire::Extension::decode(bytes).map_err(|e| internal_datafusion_err!("{e}"))?;
        if !inputs.is_empty() {
            return plan_err!("a leaf came with {} inputs", inputs.len());
        }
        match extension.node {
            Some(wire::Node::ShuffleReader(reader)) => reader_from_wire(reader, context, converter),
            Some(wire::Node::Empty(wire::Partitioned { schema, partitions })) => {
                let empty = EmptyExec::new(schema_from_wire(schema.as_ref())?).with_partitions(count(partitions)?);
                Ok(Arc::new(empty))
            }
            Some(wire::Node::PlaceholderRow(wire::Partitioned { schema, partitions })) => {
                let row = PlaceholderRowExec::new(schema_from_wire(schema.as_ref())?);
                Ok(Arc::new(row.with_partitions(count(partitions)?)))
            }
            None => plan_err!("a plan node of unknown kind: was it written by a newer version?"),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> DataFusionResult<()> {
        let partitioned = || -> DataFusionResult<_> {
            let partitions = node.output_partitioning().partition_count() as u64;
            Ok(wire::Partitioned {
                schema: Some(node.schema().as_ref().try_into()?),
                partitions,
            })
        };
        let node = if let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() {
            wire::Node::ShuffleReader(reader_to_wire(reader, converter)?)
        } else if node.is::<EmptyExec>() {
            wire::Node::Empty(partitioned()?)
        } else if node.is::<PlaceholderRowExec>() {
            wire::Node::PlaceholderRow(partitioned()?)
        } else {
            return plan_err!("{} has no serialised form", node.name());
        };
        wire::Extension { node: Some(node) }
            .encode(bytes)
            .map_err(|e| internal_datafusion_err!("{e}"))
    }
}

fn reader_to_wire(
    reader: &ShuffleReaderExec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> DataFusionResult<wire::ShuffleReader> {
    let Equivalences { classes } = reader.equivalences();
    let classes = classes.iter().map(|Class { exprs, constant }| {
        Ok(wire::Class {
            exprs: exprs_to_wire(exprs, converter)?,
            constant: constant.as_ref().map(TryInto::try_into).transpose()?,
        })
    });
    Ok(wire::ShuffleReader {
        stage: reader.stage().0,
        exchange: Some(exchange_to_wire(reader.exchange(), converter)?),
        schema: Some(reader.schema().as_ref().try_into()?),
        classes: classes.collect::<DataFusionResult<_>>()?,
    })
}

fn reader_from_wire(
    reader: wire::ShuffleReader,
    context: &TaskContext,
    converter: &dyn PhysicalProtoConverterExtension,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let wire::ShuffleReader {
        stage,
        exchange,
        schema,
        classes,
    } = reader;
    let schema = schema_from_wire(schema.as_ref())?;
    let Some(exchange) = exchange else {
        return plan_err!("a shuffle reader without exchange");
    };
    let exchange = exchange_from_wire(exchange, &schema, context, converter)?;
    let classes = classes.iter().map(|wire::Class { exprs, constant }| {
        Ok(Class {
            exprs: exprs_from_wire(exprs, &schema, context, converter)?,
            constant: constant.as_ref().map(ScalarValue::try_from).transpose()?,
        })
    });
    let equivalences = Equivalences {
        classes: classes.collect::<DataFusionResult<_>>()?,
    };
    Ok(Arc::new(ShuffleReaderExec::try_new(
        StageId(stage),
        exchange,
        schema,
        equivalences,
    )?))
}

fn exchange_to_wire(
    exchange: &Exchange,
    converter: &dyn PhysicalProtoConverterExtension,
) -> DataFusionResult<wire::Exchange> {
    let way = match exchange {
        Exchange::Hash { keys, partitions } => wire::Way::Hash(wire::Hash {
            keys: exprs_to_wire(keys, converter)?,
            partitions: *partitions as u64,
        }),
        Exchange::Broadcast => wire::Way::Broadcast(wire::Nothing {}),
        Exchange::Gather => wire::Way::Gather(wire::Nothing {}),
        Exchange::Merge { ordering, fetch } => {
            let keys = ordering.iter().map(|PhysicalSortExpr { expr, options }| {
                let SortOptions {
                    descending,
                    nulls_first,
                } = *options;
                Ok(wire::SortKey {
                    expr: Some(converter.physical_expr_to_proto(expr, &KappaCodec)?),
                    descending,
                    nulls_first,
                })
            });
            wire::Way::Merge(wire::Merge {
                ordering: keys.collect::<DataFusionResult<_>>()?,
                fetch: fetch.map(|fetch| fetch as u64),
            })
        }
    };
    Ok(wire::Exchange { way: Some(way) })
}

fn exchange_from_wire(
    exchange: wire::Exchange,
    schema: &Schema,
    context: &TaskContext,
    converter: &dyn PhysicalProtoConverterExtension,
) -> DataFusionResult<Exchange> {
    match exchange.way {
        Some(wire::Way::Hash(wire::Hash { keys, partitions })) => Ok(Exchange::Hash {
            keys: exprs_from_wire(&keys, schema, context, converter)?,
            partitions: count(partitions)?,
        }),
        Some(wire::Way::Broadcast(wire::Nothing {})) => Ok(Exchange::Broadcast),
        Some(wire::Way::Gather(wire::Nothing {})) => Ok(Exchange::Gather),
        Some(wire::Way::Merge(wire::Merge { ordering, fetch })) => {
            let keys = ordering.into_iter().map(
                |wire::SortKey {
                     expr,
                     descending,
                     nulls_first,
                 }| {
                    let expr = exprs_from_wire(expr.as_slice(), schema, context, converter)?;
                    match expr.into_iter().next() {
                        Some(expr) => Ok(PhysicalSortExpr {
                            expr,
                            options: SortOptions {
                                descending,
                                nulls_first,
                            },
                        }),
                        None => plan_err!("a sort key without expression"),
                    }
                },
            );
            let Some(ordering) = LexOrdering::new(keys.collect::<DataFusionResult<Vec<_>>>()?) else {
                return plan_err!("a merge without ordering");
            };
            Ok(Exchange::Merge {
                ordering,
                fetch: fetch.map(count).transpose()?,
            })
        }
        None => plan_err!("an exchange of unknown kind: was it written by a newer version?"),
    }
}

fn exprs_to_wire(
    exprs: &[Arc<dyn PhysicalExpr>],
    converter: &dyn PhysicalProtoConverterExtension,
) -> DataFusionResult<Vec<protobuf::PhysicalExprNode>> {
    exprs
        .iter()
        .map(|expr| converter.physical_expr_to_proto(expr, &KappaCodec))
        .collect()
}

fn exprs_from_wire(
    exprs: &[protobuf::PhysicalExprNode],
    schema: &Schema,
    context: &TaskContext,
    converter: &dyn PhysicalProtoConverterExtension,
) -> DataFusionResult<Vec<Arc<dyn PhysicalExpr>>> {
    let decode_context = PhysicalPlanDecodeContext::new(context, &KappaCodec);
    exprs
        .iter()
        .map(|expr| converter.proto_to_physical_expr(expr, schema, &decode_context))
        .collect()
}

fn schema_from_wire(schema: Option<&protobuf::Schema>) -> DataFusionResult<SchemaRef> {
    let Some(schema) = schema else {
        return plan_err!("a schema is missing");
    };
    Ok(Arc::new(Schema::try_from(schema)?))
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

/// A count from the wire.
fn count(number: u64) -> DataFusionResult<usize> {
    usize::try_from(number).map_err(|_| internal_datafusion_err!("{number} does not fit this machine"))
}

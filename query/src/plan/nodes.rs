//! The bytes of this crate's own plan nodes, and of exchanges.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{Result as DataFusionResult, ScalarValue, internal_datafusion_err, plan_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, Signature, Volatility, WindowUDF};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalPlanNodeExt, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use parking_lot::Mutex;
use prost::Message;

use super::equivalences::Class;
use super::text_scan::scan_from_wire;
use super::{Equivalences, ShuffleReaderExec, scans, windows, wire};
use crate::stage::{Exchange, StageId};

/// The extension codec of this crate's plan nodes, for code that drives `datafusion-proto` itself.
///
/// [`encode_plan`](super::codec::encode_plan) and [`decode_plan`](super::codec::decode_plan) use it; they also correct
/// what DataFusion's protocol gets wrong.
#[derive(Debug, Default, Clone, Copy)]
pub struct KappaCodec;

impl PhysicalExtensionCodec for KappaCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let extension = wire::Extension::decode(bytes).map_err(|e| internal_datafusion_err!("{e}"))?;
        if let Some(wire::Node::Window(window)) = &extension.node {
            return windows::from_wire_alone(window, inputs, context, converter);
        }
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
            Some(wire::Node::TextScan(scan)) => scan_from_wire(&scan, context, converter),
            Some(wire::Node::Scan(scan)) => {
                let Some(node) = &scan.node else {
                    return plan_err!("a scan without its node");
                };
                let decode_context = PhysicalPlanDecodeContext::new(context, &KappaCodec);
                scans::from_wire(
                    &scan,
                    &node.try_into_physical_plan_with_context(&decode_context, converter)?,
                )
            }
            Some(wire::Node::Nested(nested)) => {
                let node = protobuf::PhysicalPlanNode::decode(nested.node.as_slice());
                let node = node.map_err(|e| internal_datafusion_err!("{e}"))?;
                let decode_context = PhysicalPlanDecodeContext::new(context, &KappaCodec);
                converter.proto_to_execution_plan(&node, &decode_context)
            }
            Some(wire::Node::Window(_)) | None => {
                plan_err!("a plan node of unknown kind: was it written by a newer version?")
            }
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> DataFusionResult<()> {
        let node = match node.downcast_ref::<ShuffleReaderExec>() {
            Some(reader) => wire::Node::ShuffleReader(reader_to_wire(reader, converter)?),
            None => leaf_to_wire(&node)?,
        };
        wire::Extension { node: Some(node) }
            .encode(bytes)
            .map_err(|e| internal_datafusion_err!("{e}"))
    }
}

/// The message of a leaf without rows, or with one in each partition.
pub(super) fn leaf_to_wire(leaf: &Arc<dyn ExecutionPlan>) -> DataFusionResult<wire::Node> {
    let partitioned = wire::Partitioned {
        schema: Some(leaf.schema().as_ref().try_into()?),
        partitions: leaf.output_partitioning().partition_count() as u64,
    };
    if leaf.is::<EmptyExec>() {
        Ok(wire::Node::Empty(partitioned))
    } else if leaf.is::<PlaceholderRowExec>() {
        Ok(wire::Node::PlaceholderRow(partitioned))
    } else {
        plan_err!("{} has no serialised form", leaf.name())
    }
}

/// As [`KappaCodec`], and notes the functions that pass by.
#[derive(Debug, Default)]
pub(super) struct NotingCodec {
    functions: Mutex<Functions>,
}

/// The functions that a plan calls.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    /// Their names.
    pub(crate) names: BTreeSet<String>,
    /// Whether one of them may give something else each time.
    pub(crate) any_volatile: bool,
}

impl NotingCodec {
    fn note(&self, name: &str, signature: &Signature) {
        let mut functions = self.functions.lock();
        functions.names.insert(name.to_owned());
        functions.any_volatile |= signature.volatility == Volatility::Volatile;
    }

    pub(super) fn functions(self) -> Functions {
        self.functions.into_inner()
    }
}

impl PhysicalExtensionCodec for NotingCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        KappaCodec.try_decode(bytes, inputs, context, converter)
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> DataFusionResult<()> {
        KappaCodec.try_encode(node, bytes, converter)
    }

    fn try_encode_udf(&self, function: &ScalarUDF, _: &mut Vec<u8>) -> DataFusionResult<()> {
        self.note(function.name(), function.signature());
        Ok(())
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, _: &mut Vec<u8>) -> DataFusionResult<()> {
        self.note(function.name(), function.signature());
        Ok(())
    }

    fn try_encode_udwf(&self, function: &WindowUDF, _: &mut Vec<u8>) -> DataFusionResult<()> {
        self.note(function.name(), function.signature());
        Ok(())
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

pub(super) fn exchange_to_wire(
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

pub(super) fn exchange_from_wire(
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

pub(super) fn schema_from_wire(schema: Option<&protobuf::Schema>) -> DataFusionResult<SchemaRef> {
    let Some(schema) = schema else {
        return plan_err!("a schema is missing");
    };
    Ok(Arc::new(Schema::try_from(schema)?))
}

/// A count from the wire.
pub(super) fn count(number: u64) -> DataFusionResult<usize> {
    usize::try_from(number).map_err(|_| internal_datafusion_err!("{number} does not fit this machine"))
}

//! The bytes of what DataFusion's protocol has no message for.
//!
//! Field numbers are part of the format of stored runs: never reuse one.

use datafusion_proto::protobuf;

/// What a `PhysicalExtensionNode` of ours holds.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Extension {
    #[prost(oneof = "Node", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(super) node: Option<Node>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one at a time, on its way to bytes or from them"
)]
pub(super) enum Node {
    #[prost(message, tag = "1")]
    ShuffleReader(ShuffleReader),
    #[prost(message, tag = "2")]
    Empty(Partitioned),
    #[prost(message, tag = "3")]
    PlaceholderRow(Partitioned),
    #[prost(message, tag = "4")]
    Window(Window),
    #[prost(message, tag = "5")]
    Scan(Box<Scan>),
    #[prost(message, tag = "6")]
    Nested(Nested),
    #[prost(message, tag = "7")]
    TextScan(TextScan),
}

/// A node as the bytes of its message: messages can be nested a hundred times only, plans any number of times.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Nested {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) node: Vec<u8>,
}

/// Window expressions over the one input of the node.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Window {
    /// DataFusion's message, without the input.
    #[prost(message, optional, tag = "1")]
    pub(super) node: Option<protobuf::WindowAggExecNode>,
    /// What that does not hold of each expression, in their order.
    #[prost(message, repeated, tag = "2")]
    pub(super) marks: Vec<WindowMarks>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct WindowMarks {
    #[prost(bool, tag = "1")]
    pub(super) is_reversed: bool,
    #[prost(bool, tag = "2")]
    pub(super) ignores_nulls: bool,
}

/// A scan of files.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Scan {
    /// DataFusion's message.
    #[prost(message, optional, tag = "1")]
    pub(super) node: Option<protobuf::PhysicalPlanNode>,
    /// What the files are compressed with, as `CREATE EXTERNAL TABLE` names it; empty for files that are not.
    #[prost(string, tag = "2")]
    pub(super) compression: String,
    /// Limits keep the order of the files.
    #[prost(bool, tag = "3")]
    pub(super) preserve_order: bool,
    /// The byte that ends a line of CSV, if it is none of the usual.
    #[prost(uint32, optional, tag = "4")]
    pub(super) terminator: Option<u32>,
    /// JSON is one array, not an object in each line.
    #[prost(bool, tag = "5")]
    pub(super) is_json_array: bool,
    /// The e-tags and versions of the files, in the order of the groups and of the files in them.
    #[prost(message, repeated, tag = "6")]
    pub(super) tags: Vec<FileTags>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct FileTags {
    #[prost(string, optional, tag = "1")]
    pub(super) e_tag: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) version: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ShuffleReader {
    #[prost(uint32, tag = "1")]
    pub(super) stage: u32,
    #[prost(message, optional, tag = "2")]
    pub(super) exchange: Option<Exchange>,
    #[prost(message, optional, tag = "3")]
    pub(super) schema: Option<protobuf::Schema>,
    #[prost(message, repeated, tag = "4")]
    pub(super) classes: Vec<Class>,
}

/// A leaf without rows, or with one in each partition.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Partitioned {
    #[prost(message, optional, tag = "1")]
    pub(super) schema: Option<protobuf::Schema>,
    #[prost(uint64, tag = "2")]
    pub(super) partitions: u64,
}

/// A scan of CSV files, if there is a delimiter, or else of JSON files.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TextScan {
    #[prost(message, optional, tag = "1")]
    pub(super) base: Option<protobuf::FileScanExecConf>,
    #[prost(uint32, optional, tag = "2")]
    pub(super) delimiter: Option<u32>,
    #[prost(bool, tag = "3")]
    pub(super) can_be_cut: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Class {
    #[prost(message, repeated, tag = "1")]
    pub(super) exprs: Vec<protobuf::PhysicalExprNode>,
    #[prost(message, optional, tag = "2")]
    pub(super) constant: Option<protobuf::ScalarValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Exchange {
    #[prost(oneof = "Way", tags = "1, 2, 3, 4")]
    pub(super) way: Option<Way>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Way {
    #[prost(message, tag = "1")]
    Hash(Hash),
    #[prost(message, tag = "2")]
    Broadcast(Nothing),
    #[prost(message, tag = "3")]
    Gather(Nothing),
    #[prost(message, tag = "4")]
    Merge(Merge),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Nothing {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Hash {
    #[prost(message, repeated, tag = "1")]
    pub(super) keys: Vec<protobuf::PhysicalExprNode>,
    #[prost(uint64, tag = "2")]
    pub(super) partitions: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Merge {
    #[prost(message, repeated, tag = "1")]
    pub(super) ordering: Vec<SortKey>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) fetch: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SortKey {
    #[prost(message, optional, tag = "1")]
    pub(super) expr: Option<protobuf::PhysicalExprNode>,
    #[prost(bool, tag = "2")]
    pub(super) descending: bool,
    #[prost(bool, tag = "3")]
    pub(super) nulls_first: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Stage {
    #[prost(uint32, tag = "1")]
    pub(super) id: u32,
    #[prost(message, optional, tag = "2")]
    pub(super) fragment: Option<protobuf::PhysicalPlanNode>,
    #[prost(uint64, tag = "3")]
    pub(super) units: u64,
    #[prost(message, optional, tag = "4")]
    pub(super) output: Option<Exchange>,
    #[prost(uint32, repeated, tag = "5")]
    pub(super) inputs: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub(super) stages: Vec<Stage>,
    #[prost(message, optional, tag = "2")]
    pub(super) schema: Option<protobuf::Schema>,
    /// The number of stages, written last: what was cut off is no shorter graph.
    #[prost(uint32, tag = "3")]
    pub(super) count: u32,
}

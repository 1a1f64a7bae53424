//! Compares what two plans mean, field by field, and not what they display.
//!
//! A plan that has been to bytes and back must compute the same. What it displays does not show that: half of what an operator does is not
//! displayed. So every node is compared by its debug output, which nearly all of DataFusion's nodes derive from their fields: one that
//! gains a field is compared with it. Beside it stands what the debug output leaves out, or what is compared better by itself:
//!
//! | of | compared |
//! |---|---|
//! | every node | schema with metadata, partitioning, `fetch` |
//! | scans of files | every field of the scan and of each file, the options of the format |
//! | functions | the functions themselves, not their names |
//! | hash joins | whether they know about NULL |
//!
//! Not compared is what has a meaning for planning, or in one process, only: properties that follow from the rest (that orders suffice is
//! proved anew of what was read), statistics, metrics, dynamic filters. (Values that are displayed shortened are compared by the bytes, in the validator.)

use std::fmt::{Debug, Write};
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{CsvSource, FileScanConfig, FileSource, ParquetSource};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{HigherOrderUDF, ScalarUDF};
use datafusion::physical_expr::higher_order_function::HigherOrderFunctionExpr;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, ReplaceChildrenOptions,
};

use super::ShuffleReaderExec;
use super::converter::without_coercions;
use super::scans::{file_scan, is_json_array};
use super::windows::window_exprs;
use crate::tables::text::TextSource;

/// The first difference in meaning between a plan and what it is said to be; `None` if there is none.
///
/// # Errors
/// If a plan cannot be taken apart.
pub(crate) fn difference(plan: &Arc<dyn ExecutionPlan>, other: &Arc<dyn ExecutionPlan>) -> Result<Option<String>> {
    if plan.schema() != other.schema() {
        return Ok(Some(format!(
            "its columns {:?} become {:?}",
            plan.schema(),
            other.schema()
        )));
    }
    let mut pending = vec![(plan, other)];
    while let Some((plan, other)) = pending.pop() {
        let (children, others) = (inputs_of(plan), inputs_of(other));
        if plan.name() != other.name() || children.len() != others.len() {
            return Ok(Some(format!("{} is {}", plan.name(), other.name())));
        }
        if let Some(found) = difference_of_nodes(plan, other)? {
            return Ok(Some(format!("{}: {found}", plan.name())));
        }
        pending.extend(children.into_iter().zip(others));
    }
    Ok(None)
}

fn difference_of_nodes(plan: &Arc<dyn ExecutionPlan>, other: &Arc<dyn ExecutionPlan>) -> Result<Option<String>> {
    let facts = facts_of(plan)?;
    let others = facts_of(other)?;
    for ((what, fact), (_, other)) in facts.iter().zip(&others) {
        if fact != other {
            return Ok(Some(in_short(what, fact, other)));
        }
    }
    if facts.len() != others.len() {
        return Ok(Some("it is of another kind".to_owned()));
    }
    let (functions, others) = (functions_of(plan)?, functions_of(other)?);
    let same = functions.len() == others.len() && functions.iter().zip(&others).all(|(a, b)| a.is_same_as(b));
    if !same {
        let named = functions.iter().zip(&others).find(|(a, b)| !a.is_same_as(b));
        let name = named.map_or("a function", |(function, _)| function.name());
        return Ok(Some(format!("{name} is another function there")));
    }
    Ok(None)
}

/// The inputs of a node; of a union's, those that it does not adapt to its own columns, which whoever reads it does again.
fn inputs_of(plan: &Arc<dyn ExecutionPlan>) -> Vec<&Arc<dyn ExecutionPlan>> {
    let inputs = plan.children().into_iter();
    match plan.is::<UnionExec>() || plan.is::<InterleaveExec>() {
        true => inputs
            .enumerate()
            .map(|(position, input)| without_coercions(input, position == 0))
            .collect(),
        false => inputs.collect(),
    }
}

/// The place where two texts begin to differ, with what stands around it.
fn in_short(what: &str, fact: &str, other: &str) -> String {
    const AROUND: usize = 60;
    let at = fact.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| -> String { text.chars().skip(at.saturating_sub(AROUND)).take(3 * AROUND).collect() };
    format!("its {what} ..{}.. becomes ..{}..", around(fact), around(other))
}

/// What a node means, without its inputs, by name.
fn facts_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<(&'static str, String)>> {
    let mut facts = vec![
        ("schema", schema_text(&plan.schema())),
        ("partitioning", plan.output_partitioning().to_string()),
        ("fetch", format!("{:?}", plan.fetch())),
    ];
    if let Some(config) = file_scan(plan) {
        add_scan_facts(config, &mut facts)?;
        return Ok(facts);
    }
    if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
        facts.push(("stage", format!("{:?}", reader.stage())));
        facts.push(("exchange", format!("{:?}", reader.exchange())));
        facts.push(("facts", format!("{:?}", reader.equivalences())));
        return Ok(facts);
    }
    if let Some(subqueries) = plan.downcast_ref::<ScalarSubqueryExec>() {
        // Its results are a place in memory.
        let slots = subqueries.subqueries().iter().map(|link| link.index.as_usize());
        facts.push(("slots", format!("{:?}", slots.collect::<Vec<_>>())));
        return Ok(facts);
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        facts.push(("null_aware", join.null_aware.to_string()));
    }
    let alone = without_inputs(plan)?;
    let mut text = format!("{alone:?}");
    // What follows from the rest is printed by itself, and taken out as what it is.
    let properties = format!("cache: {:?}", alone.properties());
    match text.find(&properties) {
        // Dynamic filters come last.
        Some(at) if plan.is::<SortExec>() || plan.is::<AggregateExec>() => text.truncate(at),
        Some(at) => text.replace_range(at..at + properties.len(), ""),
        None => {}
    }
    if let Some(exprs) = window_exprs(plan) {
        // With or without the window's own columns, which none of its expressions read.
        text = without_schemas(&text);
        if exprs.first().is_some_and(|expr| expr.partition_by().is_empty()) {
            // Without keys there is nothing to partition by.
            text = text.replace(", can_repartition: true", ", can_repartition: false");
        }
    }
    if plan.is::<LazyMemoryExec>() {
        // A series without a zone counts in UTC, whether that is said or not.
        text = text.replace(
            "parsed_tz: Some(Tz(Offset(+00:00))), tz_str: None",
            "parsed_tz: None, tz_str: None",
        );
    }
    facts.push(("fields", normal(&text)));
    Ok(facts)
}

fn schema_text(schema: &SchemaRef) -> String {
    normal(&format!("{schema:?}"))
}

/// Debug output without what may be another there, and does not change any row:
///
/// * whether a column may be NULL, which casts forget (what a fragment puts out is compared with it);
/// * how a cast names its column, if it says no more of it than that;
/// * whether an aggregate relies on the order of its input: one that does not, sorts.
fn normal(text: &str) -> String {
    let text = text.replace(", nullable: true", "");
    let text = text.replace("is_input_pre_ordered: true", "is_input_pre_ordered: false");
    let text = without_names_of_casts(&text).replace("explicit_target: true", "explicit_target: false");
    sorted_maps(&sorted_metadata(&text))
}

/// Debug output with the entries of each `map: {..}`, which come in any order, sorted: what a CASE looks its values up in.
fn sorted_maps(text: &str) -> String {
    const MARK: &str = "map: {";
    let mut sorted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, entries) = rest.split_at(at + MARK.len());
        sorted.push_str(before);
        let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
        let end = entries.bytes().enumerate().find_map(|(at, byte)| {
            match byte {
                b'[' | b'{' | b'(' => depth += 1,
                b'}' if depth == 0 => return Some(at),
                b']' | b'}' | b')' => depth = depth.saturating_sub(1),
                b',' if depth == 0 => {
                    parts.push(entries[start..at].trim_start());
                    start = at + 1;
                }
                _ => {}
            }
            None
        });
        let end = end.unwrap_or(entries.len());
        parts.push(entries[start..end].trim_start());
        parts.sort_unstable();
        sorted.push_str(&parts.join(", "));
        rest = &entries[end..];
    }
    sorted.push_str(rest);
    sorted
}

fn without_names_of_casts(text: &str) -> String {
    const MARK: &str = "target_field: Field { name: \"";
    let mut without = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, name) = rest.split_at(at + MARK.len());
        without.push_str(before);
        let mut is_escaped = false;
        let end = name.bytes().position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        });
        rest = &name[end.unwrap_or(name.len())..];
    }
    without.push_str(rest);
    without
}

fn add_scan_facts(config: &FileScanConfig, facts: &mut Vec<(&'static str, String)>) -> Result<()> {
    // A field that is added must be compared here. (The last one cannot be named: statistics.)
    let FileScanConfig {
        object_store_url,
        file_groups,
        constraints,
        limit,
        preserve_order,
        output_ordering,
        file_compression_type,
        file_source,
        batch_size,
        // Refused where the scan is written.
        expr_adapter_factory: _,
        output_partitioning,
        ..
    } = config;
    let mut files = String::new();
    for group in file_groups {
        files.push_str("group ");
        for file in group.files() {
            let PartitionedFile {
                object_meta,
                partition_values,
                range,
                statistics: _,
                ordering: _,
                extensions: _,
                metadata_size_hint: _,
                table_reference: _,
                arrow_schema,
            } = file;
            let _ = write!(
                files,
                "{object_meta:?} {partition_values:?} {range:?} {arrow_schema:?}; "
            );
        }
    }
    let of_format = if let Some(csv) = file_source.downcast_ref::<CsvSource>() {
        format!(
            "{} {} {} {} {:?} {:?} {:?} {}",
            csv.has_header(),
            csv.truncate_rows(),
            csv.delimiter(),
            csv.quote(),
            csv.terminator(),
            csv.comment(),
            csv.escape(),
            csv.newlines_in_values()
        )
    } else if let Some(parquet) = file_source.downcast_ref::<ParquetSource>() {
        let options = parquet.table_parquet_options();
        normal(&format!("{:?} {:?}", parquet.filter(), options))
    } else if let Some(text) = file_source.downcast_ref::<TextSource>() {
        format!("{:?} {}", text.format(), text.can_be_cut())
    } else {
        format!("{}", is_json_array(config)?)
    };
    let add = |facts: &mut Vec<(&'static str, String)>, what: &'static str, fact: &dyn Debug| {
        facts.push((what, normal(&format!("{fact:?}"))));
    };
    add(facts, "place", object_store_url);
    facts.push(("files", sorted_metadata(&files)));
    add(facts, "constraints", constraints);
    add(facts, "limit", limit);
    add(facts, "order of files", preserve_order);
    add(facts, "order of rows", output_ordering);
    add(facts, "compression", file_compression_type.get_variant());
    add(facts, "batch size", batch_size);
    add(facts, "partitions", output_partitioning);
    add(facts, "kind", &file_source.file_type());
    add(facts, "columns", &file_source.projection());
    let table_schema = file_source.table_schema();
    facts.push(("columns of files", schema_text(table_schema.file_schema())));
    add(facts, "columns of folders", table_schema.table_partition_cols());
    facts.push(("format", of_format));
    Ok(())
}

/// A function that an expression calls.
enum Function {
    Scalar(Arc<ScalarUDF>),
    HigherOrder(Arc<HigherOrderUDF>),
}

impl Function {
    fn name(&self) -> &str {
        match self {
            Function::Scalar(function) => function.name(),
            Function::HigherOrder(function) => function.name(),
        }
    }

    fn is_same_as(&self, other: &Function) -> bool {
        match (self, other) {
            (Function::Scalar(a), Function::Scalar(b)) => {
                a == b && format!("{:?}", a.inner()) == format!("{:?}", b.inner())
            }
            (Function::HigherOrder(a), Function::HigherOrder(b)) => a == b,
            _ => false,
        }
    }
}

/// The functions that a node's expressions call, which debug output leaves out.
fn functions_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<Function>> {
    let mut functions = Vec::new();
    plan.apply_expressions(&mut |root: &Arc<dyn PhysicalExpr>| {
        root.apply(|expr| {
            if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
                functions.push(Function::Scalar(Arc::new(call.fun().clone())));
            } else if let Some(call) = expr.downcast_ref::<HigherOrderFunctionExpr>() {
                functions.push(Function::HigherOrder(Arc::new(call.fun().clone())));
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(functions)
}

/// Debug output without schemas.
fn without_schemas(text: &str) -> String {
    const MARK: &str = "schema: Schema {";
    let mut without = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        without.push_str(&rest[..at]);
        let (mut depth, mut is_quoted, mut is_escaped) = (0, false, false);
        // Schemas derive what they print: quotes come in pairs, and brackets too.
        let end = rest[at..].bytes().position(|byte| {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if is_quoted => is_escaped = true,
                b'"' => is_quoted = !is_quoted,
                b'{' if !is_quoted => depth += 1,
                b'}' if !is_quoted => {
                    depth -= 1;
                    return depth == 0;
                }
                _ => {}
            }
            false
        });
        rest = end.map_or("", |end| &rest[at + end + 1..]);
    }
    without.push_str(rest);
    without
}

/// Debug output with the entries of each `metadata: {..}`, which come in any order, sorted.
fn sorted_metadata(text: &str) -> String {
    const MARK: &str = "metadata: {\"";
    let mut sorted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, entries) = rest.split_at(at + MARK.len() - 1);
        sorted.push_str(before);
        let (mut parts, length) = entries_of(entries);
        parts.sort_unstable();
        sorted.push_str(&parts.join(", "));
        rest = &entries[length..];
    }
    sorted.push_str(rest);
    sorted
}

/// The entries `"key": "value"` at the start of a text, and how long they are together.
fn entries_of(text: &str) -> (Vec<&str>, usize) {
    let (mut parts, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                parts.push(text[start..at].trim_start());
                start = at + 1;
            }
            b'}' if !is_quoted => {
                parts.push(text[start..at].trim_start());
                return (parts, at);
            }
            _ => {}
        }
    }
    (vec![text], text.len())
}

/// The node with nothing below it: so that each node is printed once, and not once for every node above it.
fn without_inputs(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let children = plan.children();
    if children.is_empty() {
        return Ok(Arc::clone(plan));
    }
    let stubs = children.into_iter().map(|child| -> Arc<dyn ExecutionPlan> {
        Arc::new(Input {
            properties: Arc::clone(child.properties()),
        })
    });
    let stubs = stubs.collect();
    let keep = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
    Arc::clone(plan).replace_children(stubs, keep)
}

/// Stands for an input of a node that is looked at alone.
struct Input {
    properties: Arc<PlanProperties>,
}

impl Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Input")
    }
}

impl DisplayAs for Input {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Input")
    }
}

impl ExecutionPlan for Input {
    fn name(&self) -> &str {
        "Input"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        internal_err!("the stand-in of an input cannot be run")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_taken_out_whole() {
        let text = "A { schema: Schema { fields: [Field { name: \"}\\\"\" }], metadata: {} }, b: 1 }";
        assert_eq!(without_schemas(text), "A { , b: 1 }");
    }

    #[test]
    fn the_name_of_a_cast_is_taken_out_and_what_else_it_says_is_not() {
        let cast = |field: &str| format!("Cast {{ target_field: Field {{ name: {field} }}, b }}");
        let (named, other) = (cast(r#""a\\\"", data_type: Utf8"#), cast(r#""", data_type: Utf8"#));
        assert_eq!(normal(&named), normal(&other));
        let told = cast(r#""a", data_type: Utf8, metadata: {"k": "v"}"#);
        assert_ne!(normal(&told), normal(&other));
    }

    #[test]
    fn entries_of_maps_are_compared_in_any_order() {
        let text = |entries: &str| format!("Index {{ map: {{{entries}}} }}, map: {{}}, b");
        let one = text("[]: 2, [120, 121]: 0, 7: 1");
        assert_eq!(sorted_maps(&one), sorted_maps(&text("7: 1, [120, 121]: 0, []: 2")));
        assert_ne!(sorted_maps(&one), sorted_maps(&text("7: 0, [120, 121]: 1, []: 2")));
        assert!(sorted_maps(&one).ends_with(" }, map: {}, b"), "{}", sorted_maps(&one));
    }

    #[test]
    fn entries_of_metadata_are_compared_in_any_order() {
        let text =
            |entries: &str| format!("Field {{ name: \"a\", metadata: {{{entries}}} }}, Field {{ metadata: {{}} }}");
        let one = text(r#""k": "v, \"}", "a": "b""#);
        let other = text(r#""a": "b", "k": "v, \"}""#);
        assert_eq!(sorted_metadata(&one), sorted_metadata(&other));
        assert_ne!(sorted_metadata(&one), sorted_metadata(&text(r#""a": "b", "k": "v""#)));
    }
}

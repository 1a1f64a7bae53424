//! Sabotage: whatever is forgotten or changed on the way to bytes and back is noticed by the comparison of meanings.

use super::codec::{decode_plan_as_written, encode_plan};
use super::meaning::difference;
use super::scans::file_scan;
use super::windows::window_exprs;
use super::wire;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{CsvReadOptions, JsonReadOptions, SessionContext};
use datafusion_proto::protobuf;
use datafusion_proto::protobuf::physical_plan_node::PhysicalPlanType;
use prost::Message;
use std::sync::Arc;

use crate::session::{Session, SessionOptions};

/// The bytes of a plan whose root has a message of ours, changed.
fn spoiled(bytes: &[u8], spoil: impl Fn(&mut wire::Node)) -> Vec<u8> {
    let mut plan = protobuf::PhysicalPlanNode::decode(bytes).unwrap();
    in_message(&mut plan, spoil);
    plan.encode_to_vec()
}

fn in_message(plan: &mut protobuf::PhysicalPlanNode, spoil: impl Fn(&mut wire::Node)) {
    let Some(PhysicalPlanType::Extension(extension)) = &mut plan.physical_plan_type else {
        panic!("it is DataFusion's own message")
    };
    let mut message = wire::Extension::decode(extension.node.as_slice()).unwrap();
    spoil(message.node.as_mut().unwrap());
    extension.node = message.encode_to_vec();
}

/// What the comparison says of a plan and its changed bytes.
fn said(plan: &Arc<dyn ExecutionPlan>, context: &SessionContext, spoil: impl Fn(&mut wire::Node)) -> String {
    let bytes = encode_plan(plan).unwrap();
    let same = decode_plan_as_written(&bytes, &context.task_ctx()).unwrap();
    assert_eq!(difference(plan, &same).unwrap(), None);
    let changed = spoiled(&bytes, spoil);
    assert_ne!(bytes, changed, "nothing was changed");
    match decode_plan_as_written(&changed, &context.task_ctx()) {
        Ok(other) => difference(plan, &other).unwrap().expect("nobody has noticed"),
        Err(error) => error.to_string(),
    }
}

/// The first node of a plan that this is true of.
fn first(plan: &Arc<dyn ExecutionPlan>, wanted: impl Fn(&Arc<dyn ExecutionPlan>) -> bool) -> Arc<dyn ExecutionPlan> {
    let mut found = None;
    plan.apply(|node| {
        Ok(match wanted(node) {
            true => {
                found = Some(node.clone());
                TreeNodeRecursion::Stop
            }
            false => TreeNodeRecursion::Continue,
        })
    })
    .unwrap();
    found.unwrap()
}

async fn scan(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    first(&plan, |node| file_scan(node).is_some())
}

fn of_scan(spoil: impl Fn(&mut wire::Scan)) -> impl Fn(&mut wire::Node) {
    move |node| match node {
        wire::Node::Scan(scan) => spoil(scan),
        _ => panic!("it is no scan"),
    }
}

#[tokio::test]
async fn scans_that_lost_or_changed_an_option_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let context = SessionContext::new();
    let plain = CsvReadOptions::new().terminator(Some(b'$'));
    context
        .register_csv("plain", file("1.csv", b"a,b$1,2$"), plain)
        .await
        .unwrap();
    let packed = CsvReadOptions::new()
        .file_compression_type(FileCompressionType::GZIP)
        .file_extension(".gz");
    let schema = Schema::new(vec![Field::new("a", DataType::Utf8, true)]);
    context
        .register_csv("packed", file("2.csv.gz", b"not read here"), packed.schema(&schema))
        .await
        .unwrap();
    context
        .register_json("j", file("3.json", b"{\"a\": 1}\n"), JsonReadOptions::default())
        .await
        .unwrap();
    let plain = scan(&context, "SELECT * FROM plain").await;
    said(&plain, &context, of_scan(|scan| scan.terminator = None));
    said(
        &plain,
        &context,
        of_scan(|scan| scan.terminator = Some(u32::from(b'#'))),
    );
    said(&plain, &context, of_scan(|scan| scan.tags.clear()));
    said(&plain, &context, of_scan(|scan| scan.tags[0].e_tag = None));
    said(
        &plain,
        &context,
        of_scan(|scan| scan.tags[0].e_tag = Some("other".to_owned())),
    );
    said(
        &plain,
        &context,
        of_scan(|scan| scan.tags[0].version = Some("1".to_owned())),
    );
    said(
        &plain,
        &context,
        of_scan(|scan| scan.preserve_order = !scan.preserve_order),
    );
    said(&plain, &context, of_scan(|scan| scan.compression = "GZIP".to_owned()));
    let packed = scan(&context, "SELECT a FROM packed").await;
    said(&packed, &context, of_scan(|scan| scan.compression.clear()));
    let json = scan(&context, "SELECT * FROM j").await;
    said(&json, &context, of_scan(|scan| scan.is_json_array = true));
}

#[tokio::test]
async fn scans_of_texts_that_lost_or_changed_their_format_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.csv"), "a;b\n1;2\n").unwrap();
    std::fs::write(folder.path().join("j.json"), "{\"a\": 1}\n").unwrap();
    let session = Session::new(SessionOptions::default()).unwrap();
    session.register_folder(folder.path()).await.unwrap();
    let context = session.context();
    let of_text = |spoil: fn(&mut wire::TextScan)| {
        of_scan(move |scan| {
            in_message(scan.node.as_mut().unwrap(), |node| match node {
                wire::Node::TextScan(text) => spoil(text),
                _ => panic!("it is no scan of texts"),
            })
        })
    };
    let csv = scan(context, "SELECT * FROM c").await;
    said(&csv, context, of_text(|text| text.delimiter = None));
    said(&csv, context, of_text(|text| text.delimiter = Some(u32::from(b','))));
    said(&csv, context, of_text(|text| text.can_be_cut = !text.can_be_cut));
    said(&csv, context, of_text(|text| text.base = None));
    let json = scan(context, "SELECT * FROM j").await;
    said(&json, context, of_text(|text| text.delimiter = Some(u32::from(b','))));
    said(&json, context, of_text(|text| text.can_be_cut = !text.can_be_cut));
}

#[tokio::test]
async fn windows_that_lost_or_changed_a_mark_are_noticed() {
    let context = SessionContext::new();
    for call in ["lag(x, 2) IGNORE NULLS", "first_value(x) IGNORE NULLS", "lead(x)"] {
        for order in ["", "DESC"] {
            let sql = format!("SELECT x, {call} OVER (ORDER BY x {order}) FROM (VALUES (1), (2)) AS t(x)");
            let plan = context.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
            let window = first(&plan, |node| window_exprs(node).is_some());
            let marks = |spoil: fn(&mut Vec<wire::WindowMarks>)| {
                said(&window, &context, move |node| match node {
                    wire::Node::Window(window) => spoil(&mut window.marks),
                    _ => panic!("it is no window"),
                })
            };
            marks(|marks| marks[0].is_reversed = !marks[0].is_reversed);
            marks(|marks| marks[0].ignores_nulls = !marks[0].ignores_nulls);
            marks(Vec::clear);
        }
    }
}

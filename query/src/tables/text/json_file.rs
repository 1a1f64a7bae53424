//! A JSON file: what its objects look like, and its rows as batches.

use super::bytes::{BATCH_BYTES, Pieces, shown};
use super::columns::Column;
use super::json::{Framed, Framer, Node, Value, parse};
use super::values::Looks;
use datafusion::arrow::array::{ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StructArray};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use datafusion::datasource::listing::PartitionedFile;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use object_store::{ObjectMeta, ObjectStore};
use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;

/// So many different keys may objects have, each of which is a column or a field.
const MOST_KEYS: usize = 5_000;

/// What has the keys that are columns.
pub(super) const OBJECTS: &str = "its objects";

/// What the values of one key look like, all together.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    has_booleans: bool,
    has_texts: bool,
    numbers: Looks,
    items: Option<Box<Shape>>,
    fields: Option<Shapes>,
}

/// The keys of objects, in the order in which they came.
#[derive(Debug, Clone, Default)]
struct Shapes {
    all: Vec<(String, Shape)>,
    places: HashMap<String, usize>,
}

impl Shapes {
    /// # Errors
    /// If the keys are too many to be columns, or fields of one.
    fn of(&mut self, name: &str, of: &str) -> Result<&mut Shape> {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None if self.all.len() >= MOST_KEYS => {
                return exec_err!(
                    "{of} have more than {MOST_KEYS} different keys, the last of them {name:?}; write what is told apart by such keys as a list of objects with a key and a value"
                );
            }
            None => {
                self.places.insert(name.to_owned(), self.all.len());
                self.all.push((name.to_owned(), Shape::default()));
                self.all.len() - 1
            }
        };
        Ok(&mut self.all[place].1)
    }
}

impl Shape {
    /// Adds a value, or the values of a column that is called so.
    fn add(&mut self, node: &Node<'_>, of: &str) -> Result<()> {
        match &node.value {
            Value::Null => {}
            Value::Boolean => self.has_booleans = true,
            Value::Number => self.numbers.add(node.text),
            Value::Text(_) => self.has_texts = true,
            Value::List(items) => {
                let shape = self.items.get_or_insert_default();
                for item in items {
                    shape.add(item, of)?;
                }
            }
            Value::Object(fields) => {
                let shapes = self.fields.get_or_insert_default();
                for (name, field) in fields {
                    let shape = shapes.of(name, of)?;
                    match &field.value {
                        Value::List(_) | Value::Object(_) => shape.add(field, &format!("the objects of {name:?}"))?,
                        _ => shape.add(field, "")?,
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds what other values looked like.
    ///
    /// # Errors
    /// If the keys of both are too many.
    pub(super) fn merge(&mut self, other: &Shape, of: &str) -> Result<()> {
        self.has_booleans |= other.has_booleans;
        self.has_texts |= other.has_texts;
        self.numbers.merge(&other.numbers);
        if let Some(items) = &other.items {
            self.items.get_or_insert_default().merge(items, of)?;
        }
        if let Some(fields) = &other.fields {
            let shapes = self.fields.get_or_insert_default();
            for (name, field) in &fields.all {
                shapes.of(name, of)?.merge(field, &format!("the objects of {name:?}"))?;
            }
        }
        Ok(())
    }

    /// The columns of an object.
    pub(super) fn fields(&self) -> Fields {
        let fields = self.fields.iter().flat_map(|shapes| &shapes.all);
        fields
            .map(|(name, shape)| Field::new(name, shape.data_type(), true))
            .collect()
    }

    /// The type that has all of the values. What is of several kinds is text: a text as it is, other values as JSON.
    fn data_type(&self) -> DataType {
        let kinds = [
            self.has_booleans,
            self.has_texts,
            !self.numbers.is_empty(),
            self.items.is_some(),
            self.fields.is_some(),
        ];
        if kinds.iter().filter(|is_there| **is_there).count() != 1 {
            return DataType::Utf8;
        }
        match (&self.items, &self.fields) {
            (Some(items), _) => DataType::new_list(items.data_type(), true),
            (_, Some(fields)) if !fields.all.is_empty() => DataType::Struct(self.fields()),
            (_, Some(_)) => DataType::Utf8,
            _ if self.has_booleans => DataType::Boolean,
            // Texts are no numbers, even if they look so.
            _ => self.numbers.data_type(),
        }
    }
}

/// What one file is, after all of it was looked at.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) shape: Shape,
    pub(super) rows: u64,
    /// Whether a reader can begin at any line break.
    pub(super) can_be_cut: bool,
}

impl Survey {
    /// Looks at all of a file.
    pub(super) async fn of(store: &Arc<dyn ObjectStore>, file: &ObjectMeta) -> Result<Survey> {
        let mut pieces = Pieces::of(store, &file.location, file.size).await?;
        let mut survey = Survey::default();
        let mut framer = Framer::new(0);
        while let Some(piece) = pieces.next().await? {
            let _ = framer.feed(&piece, &mut |record| {
                let node = parsed(record.text, record.line)?;
                survey
                    .shape
                    .add(&node, OBJECTS)
                    .map_err(|error| in_line(record.line, error))?;
                survey.rows += 1;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        framer.finish()?;
        survey.can_be_cut = !framer.has_other_lines && !framer.is_array();
        Ok(survey)
    }
}

fn parsed(text: &[u8], line: u64) -> Result<Node<'_>> {
    parse(text).map_err(|error| in_line(line, error))
}

fn in_line(line: u64, error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::Execution(problem) => exec_datafusion_err!("line {line}: {problem}"),
        error => error,
    }
}

/// The rows of a file, or of the objects that begin in its range.
pub(super) async fn read(
    store: Arc<dyn ObjectStore>,
    file: PartitionedFile,
    schema: SchemaRef,
    batch_size: usize,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let ObjectMeta { location, size, .. } = file.object_meta;
    let place = shown(&location);
    let unreadable = move |error: DataFusionError| match error {
        DataFusionError::Execution(problem) => exec_datafusion_err!("{place} cannot be read as JSON: {problem}"),
        error => error,
    };
    let (start, end) = match &file.range {
        Some(range) => (range.start.unsigned_abs(), range.end.unsigned_abs()),
        None => (0, u64::MAX),
    };
    let rows = Rows {
        schema,
        batch_size: batch_size.max(1),
        end,
        // The break before an object that begins here belongs to the range before.
        framer: Framer::new(start.saturating_sub(1)),
        is_before_first: start > 0,
        records: vec![],
        bytes: 0,
        ready: VecDeque::new(),
        is_done: false,
    };
    let pieces = match start {
        0 => Pieces::of(&store, &location, size).await?,
        _ => Pieces::from(&store, &location, start - 1, size),
    };
    let state = (rows, pieces, unreadable);
    let stream = try_unfold(state, |(mut rows, mut pieces, unreadable)| async move {
        loop {
            if let Some(batch) = rows.ready.pop_front() {
                return Ok(Some((batch, (rows, pieces, unreadable))));
            }
            if rows.is_done {
                return Ok(None);
            }
            let piece = pieces.next().await?;
            rows.feed(piece.as_deref()).map_err(&unreadable)?;
        }
    });
    Ok(stream.boxed())
}

/// Objects that become batches.
struct Rows {
    schema: SchemaRef,
    batch_size: usize,
    /// Objects that begin here or later are another unit's.
    end: u64,
    framer: Framer,
    /// Whether bytes are passed over until the first line break.
    is_before_first: bool,
    /// Texts of objects, with their lines.
    records: Vec<(u64, Vec<u8>)>,
    /// How many bytes they have.
    bytes: usize,
    ready: VecDeque<RecordBatch>,
    is_done: bool,
}

impl Rows {
    /// Takes the next piece of the file, or its end.
    fn feed(&mut self, piece: Option<&[u8]>) -> Result<()> {
        let Some(mut piece) = piece else {
            self.framer.finish()?;
            return self.end();
        };
        if self.is_before_first {
            let Some(line_break) = piece.iter().position(|byte| *byte == b'\n') else {
                self.framer.pass_over(piece.len());
                return Ok(());
            };
            self.framer.pass_over(line_break + 1);
            piece = &piece[line_break + 1..];
            self.is_before_first = false;
        }
        let Rows {
            schema,
            batch_size,
            end,
            framer,
            records,
            bytes,
            ready,
            ..
        } = self;
        let flow = framer.feed(piece, &mut |record: &Framed<'_>| {
            if record.line_start >= *end {
                return Ok(ControlFlow::Break(()));
            }
            records.push((record.line, record.text.to_vec()));
            *bytes += record.text.len();
            if records.len() >= *batch_size || *bytes >= BATCH_BYTES {
                ready.push_back(batch_of(records, schema)?);
                records.clear();
                *bytes = 0;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        match flow {
            ControlFlow::Break(()) => self.end(),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    fn end(&mut self) -> Result<()> {
        self.is_done = true;
        if !self.records.is_empty() {
            self.ready.push_back(batch_of(&self.records, &self.schema)?);
            self.records.clear();
        }
        Ok(())
    }
}

fn batch_of(records: &[(u64, Vec<u8>)], schema: &SchemaRef) -> Result<RecordBatch> {
    let nodes: Vec<Node<'_>> = records
        .iter()
        .map(|(line, text)| parsed(text, *line))
        .collect::<Result<_>>()?;
    let lines: Vec<u64> = records.iter().map(|(line, _)| *line).collect();
    let rows: Vec<_> = nodes.iter().map(Some).collect();
    let columns = columns_of(&rows, &lines, schema.fields())?;
    let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// A column for each field of objects; NULL where there is no such key.
fn columns_of(objects: &[Option<&Node<'_>>], lines: &[u64], fields: &Fields) -> Result<Vec<ArrayRef>> {
    let columns = fields.iter().map(|field| {
        let children: Vec<_> = objects.iter().map(|object| field_of(*object, field.name())).collect();
        column_of(&children, lines, field.name(), field.data_type())
    });
    columns.collect()
}

fn field_of<'a>(object: Option<&'a Node<'a>>, name: &str) -> Option<&'a Node<'a>> {
    match &object?.value {
        Value::Object(fields) => fields.iter().find(|(known, _)| known == name).map(|(_, field)| field),
        _ => None,
    }
}

fn column_of(values: &[Option<&Node<'_>>], lines: &[u64], name: &str, data_type: &DataType) -> Result<ArrayRef> {
    let values: Vec<Option<&Node<'_>>> = values
        .iter()
        .map(|value| value.filter(|node| node.value != Value::Null))
        .collect();
    let changed = |node: &Node<'_>, line: u64, kind: &str| {
        exec_datafusion_err!(
            "line {line}: {name:?} is {}, which is not {kind}; its other values were when the query was planned",
            node.text
        )
    };
    let is_there = || NullBuffer::from_iter(values.iter().map(Option::is_some));
    match data_type {
        DataType::Struct(fields) => {
            for (value, line) in values.iter().zip(lines) {
                if let Some(node) = value.filter(|node| !matches!(node.value, Value::Object(_))) {
                    return Err(changed(node, *line, "an object"));
                }
            }
            let columns = columns_of(&values, lines, fields)?;
            Ok(Arc::new(StructArray::try_new(
                fields.clone(),
                columns,
                Some(is_there()),
            )?))
        }
        DataType::List(item) => {
            let (mut items, mut item_lines, mut lengths) = (vec![], vec![], vec![]);
            for (value, line) in values.iter().zip(lines) {
                let list = match value {
                    None => &[][..],
                    Some(Node {
                        value: Value::List(list),
                        ..
                    }) => list,
                    Some(node) => return Err(changed(node, *line, "a list")),
                };
                items.extend(list.iter().map(Some));
                item_lines.extend(list.iter().map(|_| *line));
                lengths.push(list.len());
            }
            let items = column_of(&items, &item_lines, name, item.data_type())?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            Ok(Arc::new(ListArray::try_new(
                item.clone(),
                offsets,
                items,
                Some(is_there()),
            )?))
        }
        _ => {
            let mut column = Column::new(data_type)?;
            for (value, line) in values.iter().zip(lines) {
                let Some(node) = value else {
                    column.add_null();
                    continue;
                };
                let is_added = match (&node.value, data_type) {
                    (Value::Text(text), DataType::Utf8) => column.add(text),
                    (_, DataType::Utf8) => column.add(node.text),
                    (Value::Boolean, DataType::Boolean) => column.add(node.text),
                    (Value::Number, other) if *other != DataType::Boolean => column.add(node.text),
                    _ => false,
                };
                if !is_added {
                    return Err(changed(node, *line, column.kind()));
                }
            }
            Ok(column.finish())
        }
    }
}

/// # Errors
/// If no object has a key.
pub(super) fn check_columns(shape: &Shape) -> Result<()> {
    match shape.fields().is_empty() {
        true => exec_err!("it has no objects with keys"),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::text::csv_file::{self, Wanted};
    use datafusion::arrow::datatypes::Schema;
    use futures::TryStreamExt;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, path::Path};

    async fn stored(text: String) -> (Arc<dyn ObjectStore>, ObjectMeta) {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("t");
        store.put(&path, text.into()).await.unwrap();
        let meta = store.head(&path).await.unwrap();
        (store, meta)
    }

    #[tokio::test]
    async fn objects_with_too_many_keys_are_refused_with_the_column_and_the_line() {
        let objects: String = (0..=MOST_KEYS)
            .map(|key| format!("{{\"m\": {{\"k{key}\": 1}}}}\n"))
            .collect();
        let (store, file) = stored(objects).await;
        let said = Survey::of(&store, &file).await.unwrap_err().to_string();
        assert!(
            said.contains("line 5001: the objects of \"m\" have more than 5000"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn long_texts_are_batches_of_few_rows() {
        const ROWS: usize = 20;
        let text = "x".repeat(1 << 20);
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Utf8, true)]));
        let (store, file) = stored(format!("{{\"v\": \"{text}\"}}\n").repeat(ROWS)).await;
        let file = PartitionedFile::new_from_meta(file);
        let json = read(store, file, schema.clone(), 8192).await.unwrap();
        let (store, file) = stored(format!("v\n{}", format!("{text}\n").repeat(ROWS))).await;
        let wanted = Wanted {
            schema,
            delimiter: b',',
            batch_size: 8192,
        };
        let csv = csv_file::read(store, PartitionedFile::new_from_meta(file), wanted)
            .await
            .unwrap();
        for batches in [json, csv] {
            let rows: Vec<usize> = batches.map_ok(|batch| batch.num_rows()).try_collect().await.unwrap();
            assert_eq!((rows.len(), rows.iter().sum::<usize>()), (2, ROWS));
        }
    }
}

//! A CSV file: what its columns look like, and its rows as batches.

use super::bytes::{BATCH_BYTES, Pieces, shown};
use super::columns::Column;
use super::csv::{Record, Splitter, delimiter_of, names_of};
use super::values::Looks;
use bytes::Bytes;
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use datafusion::datasource::listing::PartitionedFile;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use object_store::{ObjectMeta, ObjectStore};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What one file is, after all of it was looked at.
#[derive(Debug)]
pub(super) struct Survey {
    /// The header's names with what their values look like; empty if the file is.
    pub(super) columns: Vec<(String, Looks)>,
    /// The header as it is written.
    header: Vec<String>,
    pub(super) rows: u64,
    pub(super) delimiter: u8,
    /// Whether a reader can begin at any line break.
    pub(super) can_be_cut: bool,
}

impl Survey {
    /// Looks at all of a file.
    pub(super) async fn of(store: &Arc<dyn ObjectStore>, file: &ObjectMeta) -> Result<Survey> {
        let mut pieces = Pieces::of(store, &file.location, file.size).await?;
        let first = pieces.next().await?.unwrap_or_default();
        let delimiter = delimiter_of(&first);
        let mut survey = Survey {
            columns: vec![],
            header: vec![],
            rows: 0,
            delimiter,
            can_be_cut: true,
        };
        let mut splitter = Splitter::new(delimiter, 0);
        let mut piece = Some(first);
        while let Some(bytes) = piece {
            let _ = splitter.feed(&bytes, &mut |record| survey.add(record))?;
            piece = pieces.next().await?;
        }
        let _ = splitter.finish(&mut |record| survey.add(record))?;
        survey.can_be_cut = !splitter.has_quoted_breaks && !splitter.has_lone_returns;
        survey.check_header()?;
        Ok(survey)
    }

    fn add(&mut self, record: &Record) -> Result<ControlFlow<()>> {
        if self.columns.is_empty() {
            if !record.is_blank() {
                let names = names_of(record)?;
                self.header = (0..record.len())
                    .map(|position| String::from_utf8_lossy(record.value(position)).into_owned())
                    .collect();
                self.columns = names.into_iter().map(|name| (name, Looks::default())).collect();
            }
            return Ok(ControlFlow::Continue(()));
        }
        if !check_width(record, self.columns.len())? {
            return Ok(ControlFlow::Continue(()));
        }
        self.rows += 1;
        for (position, (name, looks)) in self.columns.iter_mut().enumerate() {
            let text = text_of(record, position, name)?;
            if !text.is_empty() {
                looks.add(text);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A first line that looks like those after it is a row, and would be lost as a header.
    fn check_header(&self) -> Result<()> {
        let mut typed = 0;
        for (text, (_, looks)) in self.header.iter().zip(&self.columns) {
            let data_type = looks.data_type();
            if looks.is_empty() || Column::new(&data_type)?.is_text() {
                continue;
            }
            if !Column::new(&data_type)?.add(text) {
                return Ok(());
            }
            typed += 1;
        }
        match typed {
            0 => Ok(()),
            _ => exec_err!(
                "its first line, {:?}, looks like the rows below it and not like names of columns; add a line with names, or, if these are names, put letters into them, as in y2019",
                self.header.join(&char::from(self.delimiter).to_string())
            ),
        }
    }
}

/// Whether a record is a row: as wide as the header. An empty line is one only where there is one column.
fn check_width(record: &Record, columns: usize) -> Result<bool> {
    if record.len() == columns {
        return Ok(true);
    }
    if record.is_blank() {
        return Ok(false);
    }
    exec_err!(
        "line {}: there are {} values, but the header has {columns} columns",
        record.line,
        record.len()
    )
}

fn text_of<'a>(record: &'a Record, position: usize, name: &str) -> Result<&'a str> {
    std::str::from_utf8(record.value(position)).map_err(|_| {
        exec_datafusion_err!(
            "line {}: the value of {name:?} is not UTF-8 text; convert the file, for example with iconv",
            record.line
        )
    })
}

/// What of a table is wanted from its files.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) schema: SchemaRef,
    pub(super) delimiter: u8,
    pub(super) batch_size: usize,
}

/// The rows of a file, or of the records that begin in its range.
pub(super) async fn read(
    store: Arc<dyn ObjectStore>,
    file: PartitionedFile,
    wanted: Wanted,
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let ObjectMeta { location, size, .. } = file.object_meta;
    let unreadable = {
        let place = shown(&location);
        move |error: DataFusionError| match error {
            DataFusionError::Execution(problem) => exec_datafusion_err!("{place} cannot be read as CSV: {problem}"),
            error => error,
        }
    };
    let (start, end) = match &file.range {
        Some(range) => (range.start.unsigned_abs(), range.end.unsigned_abs()),
        None => (0, u64::MAX),
    };
    let mut rows = Rows::new(&wanted, end)?;
    let pieces = match start {
        0 => Pieces::of(&store, &location, size).await?,
        _ => {
            // The names are in the file's first record, wherever its rows are read from.
            let mut pieces = Pieces::of(&store, &location, size).await?;
            rows.read_header(&mut pieces).await.map_err(&unreadable)?;
            rows.begin_after_line_break(start);
            // The break before a record that begins here belongs to the range before.
            Pieces::from(&store, &location, start - 1, size)
        }
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
            rows.feed(piece).map_err(&unreadable)?;
        }
    });
    Ok(stream.boxed())
}

/// Rows that become batches.
struct Rows {
    wanted: SchemaRef,
    batch_size: usize,
    /// Records that begin here or later are another unit's.
    end: u64,
    splitter: Splitter,
    /// Whether bytes are passed over until the first line break.
    is_before_first: bool,
    fill: Fill,
    ready: VecDeque<RecordBatch>,
    is_done: bool,
}

/// Columns that are being filled.
struct Fill {
    columns: Vec<Column>,
    /// Where each wanted column is in the file, and how many columns that has; `None` before its header was read.
    layout: Option<(Vec<Option<usize>>, usize)>,
    rows: usize,
    /// How many bytes of text they have.
    bytes: usize,
}

impl Rows {
    fn new(wanted: &Wanted, end: u64) -> Result<Rows> {
        let columns = wanted
            .schema
            .fields()
            .iter()
            .map(|field| Column::new(field.data_type()));
        Ok(Rows {
            fill: Fill {
                columns: columns.collect::<Result<_>>()?,
                layout: None,
                rows: 0,
                bytes: 0,
            },
            wanted: wanted.schema.clone(),
            batch_size: wanted.batch_size.max(1),
            end,
            splitter: Splitter::new(wanted.delimiter, 0),
            is_before_first: false,
            ready: VecDeque::new(),
            is_done: false,
        })
    }

    async fn read_header(&mut self, pieces: &mut Pieces) -> Result<()> {
        while self.fill.layout.is_none() && !self.is_done {
            let piece = pieces.next().await?;
            let (fill, wanted) = (&mut self.fill, &self.wanted);
            let take = &mut |record: &Record| fill.add_header(record, wanted);
            match piece {
                Some(piece) => self.splitter.feed(&piece, take).map(drop)?,
                None => {
                    self.splitter.finish(take).map(drop)?;
                    self.is_done = true;
                }
            }
        }
        Ok(())
    }

    fn begin_after_line_break(&mut self, start: u64) {
        let delimiter = self.splitter.delimiter();
        self.splitter = Splitter::new(delimiter, start - 1);
        self.is_before_first = true;
    }

    /// Takes the next piece of the file, or its end.
    fn feed(&mut self, piece: Option<Bytes>) -> Result<()> {
        let mut piece = piece;
        if self.is_before_first
            && let Some(bytes) = &mut piece
        {
            let Some(line_break) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.splitter.pass_over(bytes.len());
                return Ok(());
            };
            self.splitter.pass_over(line_break + 1);
            *bytes = bytes.slice(line_break + 1..);
            self.is_before_first = false;
        }
        let Rows {
            wanted,
            batch_size,
            end,
            splitter,
            fill,
            ready,
            ..
        } = self;
        let take = &mut |record: &Record| {
            if record.start >= *end {
                return Ok(ControlFlow::Break(()));
            }
            if fill.layout.is_none() {
                let _ = fill.add_header(record, wanted)?;
                return Ok(ControlFlow::Continue(()));
            }
            fill.add(record, wanted)?;
            if fill.rows >= *batch_size || fill.bytes >= BATCH_BYTES {
                ready.push_back(fill.finish(wanted)?);
            }
            Ok(ControlFlow::Continue(()))
        };
        let flow = match &piece {
            Some(bytes) => splitter.feed(bytes, take)?,
            None if self.is_before_first => ControlFlow::Break(()),
            None => splitter.finish(take).map(|_| ControlFlow::Break(()))?,
        };
        if flow.is_break() {
            self.is_done = true;
            if self.fill.rows > 0 {
                let last = self.fill.finish(&self.wanted)?;
                self.ready.push_back(last);
            }
        }
        Ok(())
    }
}

impl Fill {
    fn add_header(&mut self, record: &Record, wanted: &SchemaRef) -> Result<ControlFlow<()>> {
        if record.is_blank() {
            return Ok(ControlFlow::Continue(()));
        }
        let names = names_of(record)?;
        let places = wanted
            .fields()
            .iter()
            .map(|field| names.iter().position(|name| name == field.name()));
        self.layout = Some((places.collect(), names.len()));
        Ok(ControlFlow::Break(()))
    }

    fn add(&mut self, record: &Record, wanted: &SchemaRef) -> Result<()> {
        // It is there: rows come after the header.
        let Some((places, width)) = &self.layout else {
            return Ok(());
        };
        if !check_width(record, *width)? {
            return Ok(());
        }
        for (position, column) in self.columns.iter_mut().enumerate() {
            let Some(place) = places[position] else {
                column.add_null();
                continue;
            };
            let name = wanted.field(position).name();
            let text = text_of(record, place, name)?;
            self.bytes += text.len();
            if text.is_empty() && !(record.is_quoted(place) && column.is_text()) {
                column.add_null();
            } else if !column.add(text) {
                return exec_err!(
                    "line {}: {name:?} is {text:?}, which is not {}; its other values were when the query was planned",
                    record.line,
                    column.kind()
                );
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(&mut self, wanted: &SchemaRef) -> Result<RecordBatch> {
        let columns = self.columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        Ok(RecordBatch::try_new_with_options(wanted.clone(), columns, &options)?)
    }
}

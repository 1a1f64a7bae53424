//! What is written down of a run for those who look at it later: while it goes on, after its end, after the death of its coordinator.
//!
//! ```text
//! DIR/runs/<run id>/run.json   what the run is and how it stands, rewritten every two seconds   (About)
//! DIR/runs/<run id>/events     what happened, one JSON object per line, only ever appended to   (Line)
//! DIR/runs/<run id>/lock       locked by whoever works on the run, as long as it lives
//! DIR/runs/<run id>/cancel     there if somebody wants the run cancelled
//! ```
//!
//! If the state is on Redis servers, they have the same: see [`servers`].
//!
//! Guarantees:
//!
//! * Complete: every event of the run, in order, with the number and the time it had. What a killed coordinator had not yet written is told
//!   again from the journal when the run is resumed. (A snapshot replaces a part of the journal; of the events before it at most those of
//!   the last [`recorder::FLUSH`] can be missing.)
//! * Bounded: of checkpoints, and of waits that end at once, an invocation's first [`thinning::EACH`] are written, then fewer and fewer; each line carries exact sums of
//!   what was left out. A file that has grown to [`recorder::MOST_BYTES`] takes no further details; the sums in `run.json` go on.
//! * Harmless: the coordinator only puts an event into a list; a thread of the record's own writes it. A record that cannot be written says why and stops;
//!   the run goes on.
//!
//! | file | its thought |
//! |---|---|
//! | `about` | `run.json` |
//! | `line` | a line of `events` |
//! | `thinning` | which lines are written, and the sums of the rest |
//! | `recorder` | writes both files |
//! | `history` | reads them: every task, what it did and what it waits for |
//! | `place` | where the recorder writes to |
//! | `records` | the runs of a state: who works on them, asking for a cancellation, removing |
//! | `folder` | a state directory |
//! | `servers` | a state on Redis servers |
//! | `cost` | what a run would cost on rented functions |
//! | `timeline` | a run as a picture |

pub mod about;
pub mod cost;
pub mod folder;
pub mod history;
pub mod line;
pub mod place;
pub mod recorder;
pub mod records;
pub mod servers;
pub mod thinning;
pub mod timeline;

pub use about::{About, Origin, Outcome};
pub use folder::{FolderError, StateFolder};
pub use history::History;
pub use place::Place;
pub use recorder::Recorder;
pub use records::Records;

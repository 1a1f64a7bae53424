//! SQL on Kappa: plans cut into stages whose parts can be killed at any moment.
//!
//! ```text
//! SQL ──DataFusion──> optimised plan ──planner──> StageGraph ──engine──> batches
//! ```
//!
//! Read the modules in this order:
//!
//! * [`session`]: settings and memory; the same on the driver and on every worker.
//! * `tables`: folders of files as tables.
//! * `sql`: what DataFusion would answer wrongly, put right.
//! * [`stage`]: the [`StageGraph`](stage::StageGraph), what a query is once it is planned.
//! * [`planner`]: from DataFusion's plan to a checked graph, one pass per file.
//! * [`plan`]: the node that reads another stage's output, and how fragments become bytes.
//! * [`shuffle`]: which bucket a row goes to, and the objects that carry rows between stages.
//! * [`exec`]: the tasks that run a graph: driver, stages, units.
//! * [`engine`]: SQL in, rows out.
//! * [`reference`](mod@reference): the graph run unit by unit in the plainest way; what every engine must agree with.
//! * [`explain`](mod@explain): a graph as text.
//!
//! ```no_run
//! # async fn example() -> kappa_query::Result<()> {
//! use kappa_query::session::{Session, SessionOptions};
//!
//! let session = Session::new(SessionOptions::default())?;
//! session.register_folder("data").await?;
//! let graph = session.plan("SELECT city, count(*) FROM people GROUP BY city").await?;
//! println!("{}", kappa_query::explain::explain(&graph));
//! # Ok(())
//! # }
//! ```

pub mod cli;
mod deep;
pub mod engine;
pub mod error;
pub mod exec;
pub mod explain;
pub mod plan;
pub mod planner;
pub mod reference;
pub mod session;
pub mod shuffle;
mod sql;
pub mod stage;
mod tables;

pub use engine::{Engine, Execution, QueryResult, RunningQuery};
pub use error::{QueryError, Result};

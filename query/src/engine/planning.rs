//! Planning on a thread of its own.
//!
//! Planning computes for as long as it computes and waits for nothing: whoever waits for it on the thread that it computes on cannot be
//! interrupted. And it walks a query recursively, so that it wants a stack for thousands of joins.

use crate::error::QueryError;
use crate::planner::Prepared;
use crate::session::Session;
use datafusion::common::exec_datafusion_err;
use datafusion::sql::parser::Statement;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Bytes; taken only as far as they are used.
const STACK: usize = 256 << 20;

/// As [`Session::prepare`]. Whoever gives up waiting leaves the thread to itself: it ends with the process, or when it is done.
pub(super) async fn prepare(session: &Session, statement: Statement) -> Result<Prepared, QueryError> {
    let (sender, prepared) = oneshot::channel();
    let (session, runtime) = (session.clone(), Handle::current());
    let plan = move || {
        // Nobody may be waiting any more.
        let _ = sender.send(runtime.block_on(session.prepare(statement)));
    };
    let thread = std::thread::Builder::new()
        .name("planning".to_owned())
        .stack_size(STACK);
    let failed = |why: String| QueryError::from(exec_datafusion_err!("the query cannot be planned: {why}"));
    thread
        .spawn(plan)
        .map_err(|cause| failed(format!("no thread for it: {cause}")))?;
    match prepared.await {
        Ok(prepared) => prepared,
        Err(_) => Err(failed(
            "the planner has panicked; please report it with the query".to_owned(),
        )),
    }
}

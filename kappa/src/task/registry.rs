//! Every task function that is linked into this program, by name.

use super::TaskFunction;
use crate::context::{Context, Stop};
use crate::continuation::{Entry, Reader, Save, SavedFrame};
use crate::error::{Failed, Failure};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;

/// A running task, seen from outside: its value as `postcard`, or why it failed or cannot go on here.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, Stop>> + Send + 'a>>;

/// One registered task function.
pub struct Registration {
    name: &'static str,
    #[cfg_attr(
        not(feature = "aws"),
        expect(dead_code, reason = "functions of AWS are asked whether they are the same program")
    )]
    fingerprint: u64,
    begin: for<'a> fn(&'a mut Context, &'a [u8]) -> Running<'a>,
    resume: for<'a> fn(&'a mut Context) -> Running<'a>,
}

impl Registration {
    /// How to start and resume `F`.
    pub const fn of<F: TaskFunction>() -> Self {
        Registration {
            name: F::NAME,
            fingerprint: F::FINGERPRINT,
            begin: begin::<F>,
            resume: resume::<F>,
        }
    }

    /// The function's full name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the function with these arguments.
    pub(crate) fn begin<'a>(&self, cx: &'a mut Context, arguments: &'a [u8]) -> Running<'a> {
        (self.begin)(cx, arguments)
    }

    /// Lets the function go on; `cx` holds its frames.
    pub(crate) fn resume<'a>(&self, cx: &'a mut Context) -> Running<'a> {
        (self.resume)(cx)
    }
}

inventory::collect!(Registration);

/// The task function with this full name.
pub fn find(name: &str) -> Option<&'static Registration> {
    static BY_NAME: OnceLock<HashMap<&'static str, &'static Registration>> = OnceLock::new();
    BY_NAME
        .get_or_init(|| {
            inventory::iter::<Registration>
                .into_iter()
                .map(|r| (r.name, r))
                .collect()
        })
        .get(name)
        .copied()
}

/// A hash of the source of all task functions of this program: the same wherever it is built for, another if one of them has changed.
#[cfg(feature = "aws")]
pub(crate) fn fingerprint() -> u64 {
    let mut functions: Vec<_> = inventory::iter::<Registration>
        .into_iter()
        .map(|r| (r.name, r.fingerprint))
        .collect();
    functions.sort_unstable();
    let bytes = functions
        .iter()
        .flat_map(|(name, fingerprint)| name.bytes().chain([0]).chain(fingerprint.to_le_bytes()));
    // FNV-1a: what has to be found out is a mistake, not an attack.
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn begin<'a, F: TaskFunction>(cx: &'a mut Context, arguments: &'a [u8]) -> Running<'a> {
    Box::pin(async move {
        let mut reader = Reader { bytes: arguments };
        let arguments = <F::Arguments as Save>::restore(&mut reader)
            .map_err(|cause| Stop::WrongProgram(format!("the arguments of {}: {cause}", F::NAME)))?;
        finish::<F>(F::run(cx, None, Entry::Begin(arguments)).await).map_err(stop)
    })
}

fn resume<'a, F: TaskFunction>(cx: &'a mut Context) -> Running<'a> {
    Box::pin(async move {
        if let Some(frame) = cx.next_frame() {
            check::<F>(frame).map_err(Stop::WrongProgram)?;
        }
        finish::<F>(F::run(cx, None, Entry::Resume).await).map_err(stop)
    })
}

/// The end of an invocation whose task has returned an error.
fn stop(failed: Failed) -> Stop {
    match failed.needs_repair {
        Some(cause) => Stop::NeedsRepair(cause),
        None => Stop::Fail(failed),
    }
}

fn finish<F: TaskFunction>(output: F::Output) -> Result<Vec<u8>, Failed> {
    let value = F::conclude(output)?;
    let bytes = postcard::to_stdvec(&value).map_err(|cause| {
        Failure::Unusable(format!(
            "{}: its value, of type {}, cannot be serialised: {cause}",
            F::NAME,
            std::any::type_name::<F::Value>()
        ))
    })?;
    Ok(bytes)
}

/// What does not fit if a saved frame is not one of this very function.
pub(crate) fn check<F: TaskFunction>(frame: &SavedFrame) -> Result<(), String> {
    if frame.function != F::NAME {
        return Err(format!(
            "the checkpoint continues in {}, but this program calls {} there",
            frame.function,
            F::NAME
        ));
    }
    if frame.fingerprint != F::FINGERPRINT {
        return Err(format!(
            "the source of {} has changed since the checkpoint was made",
            F::NAME
        ));
    }
    Ok(())
}

//! Every task function that is linked into this program, by name.

use super::{Arguments, TaskFunction};
use crate::context::{Context, Stop};
use crate::continuation::{Entry, Reader, SavedFrame, Writer, save_and_read_back};
use crate::error::{Failed, Failure};
use std::collections::HashMap;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::OnceLock;

/// A running task, seen from outside: its value as `postcard`, or why it failed or cannot go on here.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, Stop>> + Send + 'a>>;

/// One registered task function.
pub struct Registration {
    name: &'static str,
    fingerprint: u64,
    sources: u64,
    /// The path of its type, in which the functions around it have their names too.
    path: fn() -> &'static str,
    place: &'static Location<'static>,
    begin: for<'a> fn(&'a mut Context, &'a [u8]) -> Running<'a>,
    resume: for<'a> fn(&'a mut Context) -> Running<'a>,
}

impl Registration {
    /// How to start and resume `F`.
    #[track_caller]
    pub const fn of<F: TaskFunction>() -> Self {
        Registration {
            name: F::NAME,
            fingerprint: F::FINGERPRINT,
            sources: F::SOURCES,
            path: std::any::type_name::<F>,
            place: Location::caller(),
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

/// Two task functions with one name: a name that somebody has stored or sent means neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "two task functions have the one name {name}: {first} and {second}. The functions around a task, and the blocks, are not part of its name; \
     give one of them another name, or a module of its own"
)]
pub struct SameName {
    /// Their full name.
    pub name: &'static str,
    /// The path and the place of one.
    pub first: String,
    /// The path and the place of the other.
    pub second: String,
}

/// The functions by name; more than one of a name is a mistake.
type ByName = HashMap<&'static str, Vec<&'static Registration>>;

fn by_name() -> &'static ByName {
    static BY_NAME: OnceLock<ByName> = OnceLock::new();
    BY_NAME.get_or_init(|| {
        let mut by_name = ByName::new();
        for function in inventory::iter::<Registration> {
            by_name.entry(function.name).or_default().push(function);
        }
        by_name
    })
}

/// The task function with this full name, if there is one.
///
/// # Errors
/// There are two.
pub fn find(name: &str) -> Result<Option<&'static Registration>, SameName> {
    by_name()
        .get(name)
        .map_or(Ok(None), |functions| only(functions).map(Some))
}

/// Sees that no two task functions of this program have one name.
///
/// # Errors
/// Two have; the error names both.
pub fn check_names() -> Result<(), SameName> {
    let mut functions: Vec<_> = by_name().values().collect();
    // The same error each time.
    functions.sort_unstable_by_key(|functions| functions.first().map(|function| function.name));
    functions
        .into_iter()
        .try_for_each(|functions| only(functions).map(drop))
}

fn only(functions: &[&'static Registration]) -> Result<&'static Registration, SameName> {
    match functions {
        [first, second, ..] => {
            let mut described = [first, second].map(|function| {
                let path = (function.path)().replace("::__", "::");
                format!("{path} ({}:{})", function.place.file(), function.place.line())
            });
            described.sort_unstable();
            let [first_described, second_described] = described;
            Err(SameName {
                name: first.name,
                first: first_described,
                second: second_described,
            })
        }
        [only] => Ok(only),
        [] => unreachable!("a name is there because a function has it"),
    }
}

/// A hash of the source of all task functions of this program and of the crates that they are in: the same wherever it is built for, another if one of them
/// has changed.
pub(crate) fn fingerprint() -> u64 {
    let mut functions: Vec<_> = inventory::iter::<Registration>
        .into_iter()
        .map(|r| (r.name, r.fingerprint, r.sources))
        .collect();
    functions.sort_unstable();
    let bytes = functions.iter().flat_map(|(name, fingerprint, sources)| {
        let numbers = fingerprint.to_le_bytes().into_iter().chain(sources.to_le_bytes());
        name.bytes().chain([0]).chain(numbers)
    });
    // FNV-1a: what has to be found out is a mistake, not an attack.
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn begin<'a, F: TaskFunction>(cx: &'a mut Context, arguments: &'a [u8]) -> Running<'a> {
    Box::pin(async move {
        let mut reader = Reader { bytes: arguments };
        let arguments = F::Arguments::read(&mut reader)
            .and_then(|arguments| reader.end().map(|()| arguments))
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
    let mut writer = Writer::default();
    save_and_read_back(&value, &mut writer)
        .map_err(|cause| Failure::Unusable(format!("{}: its result: {cause}", F::NAME)))?;
    Ok(writer.bytes)
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

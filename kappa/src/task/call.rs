//! A task function with its arguments, not yet running.

use super::{Arguments, TaskFunction};
use crate::continuation::Writer;
use std::fmt;
use std::pin::Pin;

/// A call that has not been made: what calling a task function gives, for `cx.call`, `cx.spawn` and `Kappa::run`.
#[must_use = "a call does nothing by itself: give it to `cx.call`, `cx.spawn` or `Kappa::run`"]
pub struct TaskCall<F: TaskFunction> {
    pub(crate) arguments: F::Arguments,
}

impl<F: TaskFunction> TaskCall<F> {
    /// A call with these arguments.
    pub fn new(arguments: F::Arguments) -> Self {
        TaskCall { arguments }
    }

    /// The function's full name and the arguments as bytes.
    ///
    /// # Errors
    /// An argument that cannot be written, or does not come back as it was; the message says which and why.
    pub fn into_spec_bytes(self) -> Result<(&'static str, Vec<u8>), String> {
        let mut writer = Writer::default();
        self.arguments
            .write(F::PARAMETERS, &mut writer)
            .map_err(|cause| format!("{}: {cause}", F::NAME))?;
        Ok((F::NAME, writer.bytes))
    }

    /// Reads the arguments from JSON: an object with the parameters' names, or an array in their order.
    ///
    /// # Errors
    /// A message for the user: which parameter is missing, unknown or of the wrong type.
    pub fn from_json(input: serde_json::Value) -> Result<Self, String> {
        use serde_json::Value;
        let expected = || format!("{} takes {{{}}}", F::NAME, F::PARAMETERS.join(", "));
        let values = match input {
            Value::Object(mut fields) => {
                let mut values = Vec::with_capacity(F::PARAMETERS.len());
                for parameter in F::PARAMETERS {
                    let value = fields.remove(*parameter).unwrap_or(Value::Null);
                    values.push(value);
                }
                if let Some(unknown) = fields.keys().next() {
                    return Err(format!("unknown argument `{unknown}`: {}", expected()));
                }
                values
            }
            Value::Array(values) if values.len() == F::PARAMETERS.len() => values,
            Value::Null if F::PARAMETERS.is_empty() => Vec::new(),
            single if F::PARAMETERS.len() == 1 => vec![single],
            _ => return Err(format!("wrong number of arguments: {}", expected())),
        };
        let tuple = if values.is_empty() {
            Value::Null
        } else {
            Value::Array(values)
        };
        F::Arguments::from_tuple(tuple)
            .map(TaskCall::new)
            .map_err(|cause| format!("wrong argument: {cause}; {}", expected()))
    }
}

/// Says at compile time what to do with a call. Nothing implements it; it is asked of the function, so that its words come before those of `Future`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "calling a task function only describes the call",
    label = "nobody makes this call",
    note = "in a task, write `cx.call(f(..)).await` to run it here or `cx.spawn(f(..)).await` to run it in parallel; elsewhere, `kappa.run(f(..)).await`",
    note = "do not remove the `.await`: without it, nothing is run"
)]
pub trait MadeByItself {}

impl<F: TaskFunction> Future for TaskCall<F>
where
    F: MadeByItself,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<F::Output> {
        // No call implements `MadeByItself`, so nobody can call this.
        std::task::Poll::Pending
    }
}

impl<F: TaskFunction> fmt::Debug for TaskCall<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskCall({})", F::NAME)
    }
}

/// The function that `#[kappa::task]` leaves under the user's name: from arguments to a call. `Marker` is the tuple of the arguments.
pub trait Constructor<Marker> {
    /// The task function it makes calls of.
    type Function: TaskFunction;

    /// A call with these arguments.
    fn construct(self, arguments: <Self::Function as TaskFunction>::Arguments) -> TaskCall<Self::Function>;
}

macro_rules! constructors {
    ($(($($argument:ident),*))*) => {$(
        impl<F: TaskFunction<Arguments = ($($argument,)*)>, Make: FnOnce($($argument),*) -> TaskCall<F> $(, $argument)*>
            Constructor<($($argument,)*)> for Make
        {
            type Function = F;

            fn construct(self, arguments: ($($argument,)*)) -> TaskCall<F> {
                #[allow(non_snake_case)]
                let ($($argument,)*) = arguments;
                self($($argument),*)
            }
        }
    )*};
}

constructors! {
    () (A1) (A1, A2) (A1, A2, A3) (A1, A2, A3, A4) (A1, A2, A3, A4, A5) (A1, A2, A3, A4, A5, A6) (A1, A2, A3, A4, A5, A6, A7)
    (A1, A2, A3, A4, A5, A6, A7, A8) (A1, A2, A3, A4, A5, A6, A7, A8, A9) (A1, A2, A3, A4, A5, A6, A7, A8, A9, A10)
    (A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11) (A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12)
}

//! What only the code needs that `#[kappa::task]` generates.

use crate::context::{AwaitedInATask, Kind, Operation};
use crate::task::{MadeByItself, TaskCall, TaskFunction};
use std::any::Any;
use std::future::Ready;
use std::marker::PhantomData;

/// The type of a variable that the generated code declares in more than one place. It never holds a value, and its methods are never called: they are
/// there for type inference.
#[derive(Debug)]
pub struct Witness<T>(PhantomData<fn() -> T>);

impl<T> Witness<T> {
    /// Of a type that is not known yet.
    #[expect(clippy::new_without_default, reason = "only generated code makes one")]
    pub const fn new() -> Self {
        Witness(PhantomData)
    }

    /// It is the type of this.
    pub const fn is(&self, _: &T) {}

    /// A probe of the type: what is done with values of it that are not mentioned any more.
    pub const fn probe(&self) -> super::held::Probe<T> {
        super::held::Probe::new()
    }

    /// The type, of a value behind which something has been moved.
    pub const fn content(&self) -> super::held::Content<T> {
        super::held::Content::new()
    }

    /// The type, of the receiver of a method.
    pub const fn receiver(&self) -> super::held::Receiver<T> {
        super::held::Receiver::new()
    }

    /// It is the type of this, which is given back: what is expected of the whole is expected of this.
    pub fn same(&self, value: T) -> T {
        value
    }

    /// It is the type of what this is assigned to. Generated code has it only where nothing ever comes by.
    pub fn value(&self) -> T {
        unreachable!("a witness only knows a type")
    }
}

/// The type of what a suspension point gives. Generated code has it only where nothing ever comes by.
pub fn output<K: Kind>(_: Operation<K>) -> K::Output {
    unreachable!("an operation is performed by its task")
}

/// What is awaited inside a task and is no suspension point: it has a method of its own for what cannot be awaited there, so that there is one error, in
/// which rustc does not offer to remove the `.await`.
#[derive(Debug)]
pub struct Awaited<T>(pub T);

impl<F: TaskFunction> Awaited<TaskCall<F>> {
    /// Does not compile.
    pub fn future(self) -> Ready<F::Output>
    where
        F: MadeByItself,
    {
        unreachable!("nobody makes this call")
    }
}

impl<K: Kind> Awaited<Operation<K>> {
    /// Does not compile.
    pub fn future(self) -> Ready<K::Output>
    where
        K: AwaitedInATask,
    {
        unreachable!("nobody performs this operation")
    }
}

/// All others are what they are.
pub trait AsFuture {
    /// What is awaited.
    type Future;

    /// Gives what is awaited.
    fn future(self) -> Self::Future;
}

impl<T> AsFuture for Awaited<T> {
    type Future = T;

    #[inline]
    fn future(self) -> T {
        self.0
    }
}

/// The result at the end of a body that has no value: a `()`, or else rustc has said before that there must be another.
pub fn at_end<T: 'static>() -> T {
    let mut unit = Some(());
    let unit: &mut dyn Any = &mut unit;
    match unit.downcast_mut::<Option<T>>().and_then(Option::take) {
        Some(unit) => unit,
        None => unreachable!("rustc has let a body without a value have a result"),
    }
}

/// What a macro gives that never returns, such as `panic!`.
#[derive(Debug)]
pub enum NeverReturns {}

/// The type of a slot is that of this variable.
pub const fn same_type<T>(_: &Option<T>, _: &T) {}

/// The right side of a compound assignment that is built into Rust, if its left side is an `L`.
#[diagnostic::on_unimplemented(
    message = "the left side of this assignment is computed, which Rust does before the right side for `{L}`, but after it for numbers",
    label = "a suspension point on the right needs this to be settled before",
    note = "put the index, or whatever else is computed inside the left side, into a variable before"
)]
pub trait BuiltIn<L> {}

#[diagnostic::do_not_recommend]
impl<L: Primitive, R: Primitive> BuiltIn<L> for R {}

/// A type whose operators are built into Rust.
pub trait Primitive {}

macro_rules! primitive {
    ($($ty:ty)*) => {$(impl Primitive for $ty {})*};
}

primitive!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool);

/// The left side of a compound assignment, evaluated after the right side. Rust does so if both are primitive, and only then.
#[inline]
pub fn in_place<'a, L, R: BuiltIn<L>>(left: &'a mut L, _right: &R) -> &'a mut L {
    left
}

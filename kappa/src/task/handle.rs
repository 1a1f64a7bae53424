//! Handles to tasks and queues: small values that can be stored, sent and spawned with.

use crate::ids::{QueueId, TaskId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $id:ident) => {
        $(#[$doc])*
        pub struct $name<T> {
            id: $id,
            of: PhantomData<fn() -> T>,
        }

        impl<T> $name<T> {
            pub(crate) fn new(id: $id) -> Self {
                $name { id, of: PhantomData }
            }

            /// Its id within the run.
            pub fn id(&self) -> $id {
                self.id
            }
        }

        impl<T> From<$name<T>> for $id {
            fn from(handle: $name<T>) -> $id {
                handle.id
            }
        }

        impl<T> From<&$name<T>> for $id {
            fn from(handle: &$name<T>) -> $id {
                handle.id
            }
        }

        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $name<T> {}

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.id)
            }
        }

        impl<T> PartialEq for $name<T> {
            fn eq(&self, other: &Self) -> bool {
                self.id == other.id
            }
        }

        impl<T> Eq for $name<T> {}

        impl<T> std::hash::Hash for $name<T> {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.id.hash(state);
            }
        }

        impl<T> Serialize for $name<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.id.serialize(serializer)
            }
        }

        impl<'de, T> Deserialize<'de> for $name<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $id::deserialize(deserializer).map($name::new)
            }
        }
    };
}

handle!(
    /// A task of this run whose value is a `T`. Any task that holds the handle may wait for it, any number of times.
    Task,
    TaskId
);

handle!(
    /// A bounded FIFO queue of this run with items of type `T`: many producers, many consumers.
    Queue,
    QueueId
);

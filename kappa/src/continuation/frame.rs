//! Frames on the native stack, and frames in a buffer.

use super::save::{Reader, Unsaved, Writer};
use std::collections::VecDeque;
use std::fmt;

/// A task function's identity in a continuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// `crate::module::function`.
    pub name: &'static str,
    /// A hash of the function's source text. Frames of another text are refused.
    pub fingerprint: u64,
}

/// Writes what is live at a suspension point.
pub type Live<'a> = dyn Fn(&mut Writer) -> Result<(), Unsaved> + Sync + 'a;

/// One function that is at a suspension point: it lives on the native stack while the operation goes on.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// Who called it with `cx.call`.
    pub caller: Option<&'a Frame<'a>>,
    /// Which function.
    pub function: Function,
    /// Which of its suspension points.
    pub point: u32,
    /// What is live there.
    pub live: &'a Live<'a>,
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.function.name, self.point)
    }
}

/// Where a task function starts.
#[derive(Debug)]
pub enum Entry<A> {
    /// At its beginning, with these arguments.
    Begin(A),
    /// At the suspension point of its saved frame, which [`crate::Context`] holds.
    Resume,
}

/// One frame of a stored continuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedFrame {
    /// The function's full name.
    pub function: String,
    /// The fingerprint of the code that wrote it.
    pub fingerprint: u64,
    /// The suspension point.
    pub point: u32,
    /// The live variables, in the order in which the function writes and reads them.
    pub live: Vec<u8>,
}

impl SavedFrame {
    /// The live variables, from the first.
    pub fn reader(&self) -> Reader<'_> {
        Reader { bytes: &self.live }
    }
}

/// A stored stack, outermost frame first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Continuation {
    /// How many idempotency keys the task had handed out.
    pub keys: u64,
    /// The frames.
    pub frames: VecDeque<SavedFrame>,
}

/// The first byte of every continuation: the version of its format.
const FORMAT: u8 = 1;

/// Writes ⟨format u8, idempotency keys handed out u64⟩ and the stack whose innermost frame is given, outermost first, each as
/// ⟨name length u16, name, fingerprint u64, point u32, live length u32, live⟩ in little endian.
///
/// # Errors
/// A live value whose `Serialize` fails; the message names the function and the type.
pub fn encode(innermost: &Frame<'_>, keys: u64, to: &mut Writer) -> Result<(), Unsaved> {
    let mut stack = vec![innermost];
    let mut next = innermost.caller;
    while let Some(frame) = next {
        stack.push(frame);
        next = frame.caller;
    }
    to.bytes.push(FORMAT);
    to.bytes.extend_from_slice(&keys.to_le_bytes());
    for frame in stack.into_iter().rev() {
        let name = frame.function.name.as_bytes();
        let name_length = u16::try_from(name.len()).map_err(|_| Unsaved {
            what: "a function's name is too long".into(),
        })?;
        to.bytes.extend_from_slice(&name_length.to_le_bytes());
        to.bytes.extend_from_slice(name);
        to.bytes.extend_from_slice(&frame.function.fingerprint.to_le_bytes());
        to.bytes.extend_from_slice(&frame.point.to_le_bytes());
        let length_at = to.bytes.len();
        to.bytes.extend_from_slice(&[0; 4]);
        (frame.live)(to).map_err(|cause| cause.at(&frame.function.name))?;
        let length = u32::try_from(to.bytes.len() - length_at - 4).map_err(|_| Unsaved {
            what: format!("{}: more than 4 GiB are live", frame.function.name),
        })?;
        to.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }
    Ok(())
}

impl Continuation {
    /// Cuts a buffer that [`encode`] wrote into its frames.
    ///
    /// # Errors
    /// Anything that [`encode`] cannot have written: another format, a truncated buffer, no frame at all.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unsaved> {
        let damaged = || Unsaved {
            what: "the continuation is damaged: it ends in the middle of a frame".into(),
        };
        let Some((&format, mut rest)) = bytes.split_first() else {
            return Err(Unsaved {
                what: "the continuation is empty".into(),
            });
        };
        if format != FORMAT {
            return Err(Unsaved {
                what: format!("the continuation has format {format}; this program reads format {FORMAT}"),
            });
        }
        let keys = u64::from_le_bytes(take_array(&mut rest).ok_or_else(damaged)?);
        let mut frames = VecDeque::new();
        while !rest.is_empty() {
            let name_length = u16::from_le_bytes(take_array(&mut rest).ok_or_else(damaged)?);
            let name = take(&mut rest, usize::from(name_length)).ok_or_else(damaged)?;
            let function = String::from_utf8(name.to_vec()).map_err(|_| damaged())?;
            let fingerprint = u64::from_le_bytes(take_array(&mut rest).ok_or_else(damaged)?);
            let point = u32::from_le_bytes(take_array(&mut rest).ok_or_else(damaged)?);
            let live_length = u32::from_le_bytes(take_array(&mut rest).ok_or_else(damaged)?);
            let live = take(&mut rest, live_length as usize).ok_or_else(damaged)?.to_vec();
            frames.push_back(SavedFrame {
                function,
                fingerprint,
                point,
                live,
            });
        }
        if frames.is_empty() {
            return Err(Unsaved {
                what: "the continuation has no frames".into(),
            });
        }
        Ok(Continuation { keys, frames })
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    take(rest, N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_outermost_first() {
        let outer_live = |w: &mut Writer| crate::continuation::Save::save(&7_u64, w);
        let outer = Frame {
            caller: None,
            function: Function {
                name: "a::outer",
                fingerprint: 1,
            },
            point: 2,
            live: &outer_live,
        };
        let inner_live = |_: &mut Writer| Ok(());
        let inner = Frame {
            caller: Some(&outer),
            function: Function {
                name: "a::inner",
                fingerprint: 3,
            },
            point: 4,
            live: &inner_live,
        };
        let mut writer = Writer::default();
        encode(&inner, 5, &mut writer).unwrap();
        let back = Continuation::decode(&writer.bytes).unwrap();
        assert_eq!(back.keys, 5);
        let names: Vec<_> = back
            .frames
            .iter()
            .map(|f| (f.function.as_str(), f.fingerprint, f.point, f.live.len()))
            .collect();
        assert_eq!(names, [("a::outer", 1, 2, 1), ("a::inner", 3, 4, 0)]);
    }

    #[test]
    fn a_buffer_cut_anywhere_but_between_frames_is_refused() {
        let live = |w: &mut Writer| crate::continuation::Save::save(&"text".to_string(), w);
        let frame = Frame {
            caller: None,
            function: Function {
                name: "a::f",
                fingerprint: 1,
            },
            point: 0,
            live: &live,
        };
        let mut writer = Writer::default();
        encode(&frame, 0, &mut writer).unwrap();
        for end in 0..writer.bytes.len() {
            assert!(Continuation::decode(&writer.bytes[..end]).is_err(), "cut at {end}");
        }
        assert!(Continuation::decode(&writer.bytes).is_ok());
    }
}

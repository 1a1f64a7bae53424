//! A struct with methods and state that goes from lambda to lambda: AES-128 in counter mode (NIST SP 800-38A, section 6.5), block by block.
//!
//! ```text
//! cargo run --release -p kappa --example aes -- run --input '{
//!   "key": "2b7e151628aed2a6abf7158809cf4f3c",
//!   "counter": "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
//!   "text": "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"}'
//! ```
//!
//! prints `"874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"`, the cipher text of appendix F.5.1. Applied to that, it gives the text
//! back.
//!
//! What must survive is in the struct [`CounterMode`]; the expanded key is [`shared`](Context::shared): made again after a resume.

use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit};
use kappa::prelude::*;
use serde::{Deserialize, Serialize};

const BLOCK: usize = 16;

/// The state of an encryption between two blocks.
#[derive(Debug, Serialize, Deserialize)]
struct CounterMode {
    counter: u128,
    output: Vec<u8>,
}

impl CounterMode {
    fn new(counter: u128) -> Self {
        CounterMode {
            counter,
            output: Vec::new(),
        }
    }

    /// Encrypts (or decrypts: it is the same) up to one block.
    fn block(&mut self, cipher: &Aes128, text: &[u8]) {
        let mut mask = self.counter.to_be_bytes().into();
        cipher.encrypt_block(&mut mask);
        self.output
            .extend(text.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        self.counter = self.counter.wrapping_add(1);
    }
}

#[kappa::task]
async fn aes(cx: &mut Context, key: String, counter: String, text: String) -> Result<String> {
    let key: [u8; BLOCK] = exactly_a_block("key", &key)?;
    let counter = u128::from_be_bytes(exactly_a_block("counter", &counter)?);
    let text = from_hex("text", &text)?;
    let cipher = cx.shared(|| Aes128::new(&key.into()));
    let mut mode = CounterMode::new(counter);
    for start in (0..text.len()).step_by(BLOCK) {
        mode.block(&cipher, &text[start..text.len().min(start + BLOCK)]);
        cx.checkpoint_if_due().await;
    }
    Ok(mode.output.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn exactly_a_block(what: &str, hex: &str) -> Result<[u8; BLOCK]> {
    let bytes = from_hex(what, hex)?;
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| Error::msg(format!("`{what}` has {length} bytes; it must have {BLOCK}")))
}

fn from_hex(what: &str, hex: &str) -> Result<Vec<u8>> {
    let wrong = || {
        Error::msg(format!(
            "`{what}` is not hexadecimal: two of the digits 0-9 and a-f for each byte"
        ))
    };
    let digits = hex.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8));
    let digits: Vec<u8> = digits.collect::<Option<_>>().ok_or_else(wrong)?;
    match digits.len() % 2 {
        0 => Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()),
        _ => Err(wrong()),
    }
}

fn main() -> kappa::ExitCode {
    kappa::main(aes)
}

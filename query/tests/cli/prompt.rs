//! The prompt, on a terminal.

use crate::support::{PATIENCE, Shop};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Too long for any test: 8 * 10^12 pairs.
const ENDLESS: &str = "SELECT sum(a.id * b.id - c.id) FROM orders a, orders b, orders c WHERE a.id + b.id > c.id;";

/// `kappa-sql` at its prompt, on a terminal that `script` (of util-linux) makes for it.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn open(shop: &Shop, arguments: &str) -> Terminal {
        // `exec`, since a shell that stays takes a Ctrl-C for its own and reports that, not the exit code of the program.
        let program = format!("exec {} {arguments}", env!("CARGO_BIN_EXE_kappa-sql"));
        let mut command = shop.command("script");
        command
            .args(["-qfec", &program, "/dev/null"])
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped());
        let mut child = shop.start(&mut command);
        let keys = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Terminal { child, keys, screen }
    }

    fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until this stands on the screen for the `count`-th time.
    fn wait_for(&self, text: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.shown().matches(text).count() < count {
            assert!(Instant::now() < deadline, "{text:?} is not shown:\n{}", self.shown());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn ctrl_c_at_the_prompt_cancels_the_query_and_the_next_one_is_answered() {
    let shop = Shop::large();
    let mut terminal = Terminal::open(&shop, "--data data --platform process --workers 2");
    terminal.wait_for("kappa> ", 1);
    let idle = shop.processes().len();
    for round in 1..=2 {
        terminal.types(&format!("{ENDLESS}\r"));
        let deadline = Instant::now() + PATIENCE;
        while round == 1 && shop.processes().len() <= idle {
            assert!(Instant::now() < deadline, "no worker: {}", terminal.shown());
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(500));
        terminal.types("\x03");
        terminal.wait_for("cancelled", round);
    }
    terminal.types("SELECT 41 + 1 AS answer;\r");
    terminal.wait_for("(1 row)", 1);
    assert!(terminal.shown().contains("42"), "{}", terminal.shown());
    terminal.types("\x04");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0), "{}", terminal.shown());
    shop.assert_nothing_is_left();
}

#[test]
fn an_error_at_the_prompt_is_shown_and_the_prompt_stays() {
    let shop = Shop::new();
    let mut terminal = Terminal::open(&shop, "--data data");
    terminal.wait_for("kappa> ", 1);
    terminal.types("SELECT nothing FROM orders;\r");
    terminal.wait_for("nothing", 2);
    terminal.types("SELECT count(*) AS n FROM orders;\r");
    terminal.wait_for("(1 row)", 1);
    terminal.types("\x04");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0), "{}", terminal.shown());
}

//! However long or deep a query is: an answer or a refusal, and the program lives.

use crate::support::{PATIENCE, Ran, Shop};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::{Duration, Instant};

fn nested(depth: usize, open: &str, inner: &str, close: &str) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

fn list(count: usize, separator: &str, each: impl Fn(usize) -> String) -> String {
    (0..count).map(each).collect::<Vec<_>>().join(separator)
}

/// Its value as CSV, which the query calls `v`.
fn value(shop: &Shop, sql: &str) -> Ran {
    fs::write(shop.path("q.sql"), sql).unwrap();
    shop.run(&["--data", "data", "--format", "csv", "-f", "q.sql"])
}

#[test]
fn what_is_nested_is_right_some_dozens_deep() {
    let shop = Shop::new();
    for (sql, expected) in [
        (format!("SELECT {} AS v", nested(100, "(", "7", ")")), "7"),
        (
            format!("SELECT {} AS v FROM orders WHERE id = 3", nested(40, "abs(", "id", ")")),
            "3",
        ),
        (
            format!(
                "SELECT max(id) AS v FROM {}",
                nested(40, "(SELECT * FROM ", "orders", ")")
            ),
            "5",
        ),
        (
            format!("SELECT count(*) AS v FROM orders WHERE {}id = 3", "NOT ".repeat(100)),
            "1",
        ),
    ] {
        let ran = value(&shop, &sql);
        assert_eq!(ran.out.lines().nth(1), Some(expected), "{sql}: {}", ran.err);
    }
}

#[test]
fn what_is_nested_deeper_is_refused() {
    let shop = Shop::new();
    for sql in [
        format!("SELECT {}", nested(20_000, "(", "7", ")")),
        format!("SELECT {}", nested(5_000, "abs(", "7", ")")),
        format!("SELECT {}", nested(5_000, "[", "7", "]")),
        format!("SELECT * FROM {}", nested(5_000, "(SELECT * FROM ", "orders", ")")),
        format!("SELECT {}7", "- ".repeat(5_000)),
    ] {
        value(&shop, &sql).failed(1, &["nested too deeply", "WITH name AS"]);
    }
}

#[test]
fn what_is_long_is_right() {
    let shop = Shop::new();
    let name = "a".repeat(100_000);
    for (sql, expected) in [
        (
            format!(
                "SELECT count(*) AS v FROM orders WHERE id IN ({})",
                list(10_000, ",", |n| (2 * n).to_string())
            ),
            "2",
        ),
        (
            format!(
                "SELECT sum(CASE id {} ELSE 0 END) AS v FROM orders",
                list(2_000, " ", |n| format!("WHEN {n} THEN {n}"))
            ),
            "15",
        ),
        (
            format!(
                "SELECT sum(v) AS v FROM ({})",
                list(500, " UNION ALL ", |n| format!("SELECT {n} AS v"))
            ),
            "124750",
        ),
        (
            format!(
                "SELECT count(*) AS v FROM (VALUES {}) AS t(x)",
                list(10_000, ",", |n| format!("({n})"))
            ),
            "10000",
        ),
        (
            format!("SELECT max(\"{name}\") AS v FROM (SELECT id AS \"{name}\" FROM orders)"),
            "5",
        ),
        (
            format!(
                "SELECT count(*) AS v FROM (SELECT {} FROM orders)",
                list(1_000, ",", |n| format!("id + {n} AS c{n}"))
            ),
            "5",
        ),
    ] {
        let ran = value(&shop, &sql);
        assert_eq!(ran.out.lines().nth(1), Some(expected), "{}: {}", &sql[..80], ran.err);
    }
}

#[test]
fn ctrl_c_ends_planning() {
    let shop = Shop::new();
    let condition = list(5_000, " OR ", |n| format!("(id = {n} AND price = {n})"));
    let sql = format!("EXPLAIN SELECT count(*) FROM orders WHERE {condition}");
    fs::write(shop.path("q.sql"), sql).unwrap();
    let mut command = shop.program();
    command.args(["--data", "data", "-f", "q.sql"]);
    let mut child = shop.start(&mut command);
    std::thread::sleep(Duration::from_secs(4));
    assert!(
        child.try_wait().unwrap().is_none(),
        "it is planned already: a longer condition is needed"
    );
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let asked = Instant::now();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert!(asked.elapsed() < PATIENCE);
    ran.failed(130, &["kappa-sql: interrupted\n"]);
}

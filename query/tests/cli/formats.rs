//! Results byte for byte.

use crate::support::Shop;
use std::fs;

const ORDERS: &str = "SELECT * FROM orders ORDER BY id LIMIT 5";

#[test]
fn a_table_is_aligned_and_its_rows_are_counted_on_standard_error() {
    let ran = Shop::new().sql(ORDERS, &[]);
    ran.wrote(concat!(
        " id | city      |  price | day\n",
        "----+-----------+--------+------------\n",
        "  1 | Oslo      | -10.05 | 2022-01-09\n",
        "  2 | Paris, TX |   NULL | 2022-01-10\n",
        "  3 | Oslo      |  10.05 | 2022-01-11\n",
        "  4 | Paris, TX |  20.10 | 2022-01-12\n",
        "  5 | NULL      |  30.15 | 2022-01-13\n",
    ));
    assert_eq!(ran.err, "(5 rows)\n");
}

#[test]
fn csv_has_a_header_and_quotes_what_must_be_quoted() {
    let ran = Shop::new().sql(ORDERS, &["--format", "csv"]);
    ran.wrote(concat!(
        "id,city,price,day\n",
        "1,Oslo,-10.05,2022-01-09\n",
        "2,\"Paris, TX\",,2022-01-10\n",
        "3,Oslo,10.05,2022-01-11\n",
        "4,\"Paris, TX\",20.10,2022-01-12\n",
        "5,,30.15,2022-01-13\n",
    ));
    assert_eq!(ran.err, "");
}

#[test]
fn json_is_one_object_per_line() {
    let ran = Shop::new().sql(ORDERS, &["--format", "json"]);
    ran.wrote(concat!(
        "{\"id\":1,\"city\":\"Oslo\",\"price\":-10.05,\"day\":\"2022-01-09\"}\n",
        "{\"id\":2,\"city\":\"Paris, TX\",\"price\":null,\"day\":\"2022-01-10\"}\n",
        "{\"id\":3,\"city\":\"Oslo\",\"price\":10.05,\"day\":\"2022-01-11\"}\n",
        "{\"id\":4,\"city\":\"Paris, TX\",\"price\":20.10,\"day\":\"2022-01-12\"}\n",
        "{\"id\":5,\"city\":null,\"price\":30.15,\"day\":\"2022-01-13\"}\n",
    ));
}

#[test]
fn the_answer_is_the_same_with_processes_that_are_killed_at_random() {
    let sql = "SELECT c.country, count(*) AS n, sum(o.price) AS total FROM orders o JOIN cities c ON o.city = c.name \
               GROUP BY c.country ORDER BY n DESC, c.country";
    let expected = "country,n,total\nNorway,2,0.00\nUSA,2,20.10\n";
    let shop = Shop::new();
    shop.sql(sql, &["--format", "csv"]).wrote(expected);
    let processes = ["--format", "csv", "--platform", "process", "--workers", "2"];
    shop.sql(sql, &processes).wrote(expected);
    let ran = shop.sql(
        sql,
        &[&processes[..], &["--chaos", "kill=0.3,seed=7", "--stats"]].concat(),
    );
    ran.wrote(expected);
    let killed = ran
        .err
        .split(" killed, ")
        .next()
        .and_then(|before| before.rsplit(' ').next());
    assert!(
        killed.is_some_and(|count| count.parse::<u32>().unwrap() > 0),
        "{}",
        ran.err
    );
}

#[test]
fn an_empty_result_keeps_its_header() {
    let shop = Shop::new();
    let none = "SELECT id, city FROM orders WHERE id > 99";
    let ran = shop.sql(none, &[]);
    ran.wrote(" id | city\n----+------\n");
    assert_eq!(ran.err, "(0 rows)\n");
    shop.sql(none, &["--format", "csv"]).wrote("id,city\n");
    shop.sql(none, &["--format", "json"]).wrote("");
}

#[test]
fn results_of_several_statements_follow_one_another() {
    let shop = Shop::new();
    let two = "SELECT 1 AS a; SELECT 'x;y' AS b -- done;\n;";
    shop.sql(two, &[]).wrote(" a\n---\n 1\n\n b\n-----\n x;y\n");
    shop.sql(two, &["--format", "csv"]).wrote("a\n1\n\nb\nx;y\n");
    shop.sql(two, &["--format", "json"])
        .wrote("{\"a\":1}\n{\"b\":\"x;y\"}\n");
}

#[test]
fn an_output_file_appears_with_everything_or_not_at_all() {
    let shop = Shop::new();
    let file = shop.path("out.csv");
    let to_file = ["--format", "csv", "--output", "out.csv"];
    shop.sql("SELECT 1 AS a; SELECT missing FROM orders", &to_file)
        .failed(1, &["there is no column missing"]);
    assert!(!file.exists());
    shop.sql("SELECT 1 AS a", &to_file).wrote("");
    assert_eq!(fs::read_to_string(&file).unwrap(), "a\n1\n");
    shop.sql("SELECT 2 AS a; SELECT missing FROM orders", &to_file)
        .failed(1, &["there is no column missing"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "a\n1\n");
    let names: Vec<_> = fs::read_dir(shop.path(""))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        names.iter().all(|name| !name.to_string_lossy().starts_with('.')),
        "{names:?}"
    );
}

#[test]
fn explain_shows_the_stages() {
    let ran = Shop::new().sql(
        "EXPLAIN SELECT city, count(*) FROM orders GROUP BY city",
        &["--format", "csv"],
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.out.contains("stage 0: ") && ran.out.contains("stage 1 (result): "),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("ShuffleReaderExec"), "{}", ran.out);
}

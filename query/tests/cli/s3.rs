//! Tables in S3 are those of the folder.

use crate::support::{Ran, Shop};
use futures::TryStreamExt;
use kappa_test_servers::{ACCESS_KEY, REGION, SECRET_KEY, Server};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

const QUERIES: [&str; 3] = [
    "SELECT city, count(*) AS n, sum(price) AS total FROM orders GROUP BY city ORDER BY city",
    "SELECT o.city, c.country, count(*) AS n FROM orders o LEFT JOIN cities c ON o.city = c.name GROUP BY ALL ORDER BY 1, 2",
    "SELECT id, what FROM events ORDER BY id",
];

fn bucket(server: &Server) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_bucket_name("bucket")
        .with_region(REGION)
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(SECRET_KEY)
        .build()
        .unwrap()
}

/// Puts the shop's data below `tables`.
async fn upload(shop: &Shop, bucket: &AmazonS3) {
    for entry in std::fs::read_dir(shop.data()).unwrap() {
        let entry = entry.unwrap();
        let key = format!("tables/{}", entry.file_name().to_str().unwrap());
        let content = std::fs::read(entry.path()).unwrap();
        bucket.put(&Path::from(key), content.into()).await.unwrap();
    }
}

fn run(shop: &Shop, server: &Server, arguments: &[&str]) -> Ran {
    let output = server.serve(&mut shop.program()).args(arguments).output().unwrap();
    shop.assert_nothing_is_left();
    Ran::of(output)
}

#[tokio::test]
async fn tables_in_s3_give_what_the_folder_gives_also_on_worker_processes_with_a_store_in_s3() {
    for start in [Server::ministack, Server::seaweedfs] {
        let (shop, server) = (Shop::new(), start());
        server.make_bucket("bucket");
        let bucket = bucket(&server);
        upload(&shop, &bucket).await;
        for sql in QUERIES {
            let csv = ["--format", "csv", "-c", sql];
            let expected = shop.run(&[&["--data", "data"], &csv[..]].concat()).out;
            assert!(!expected.is_empty());
            let local = run(&shop, &server, &[&["--data", "s3://bucket/tables"], &csv[..]].concat());
            assert_eq!(local.out, expected, "{sql}");
            let remote = [
                "--data",
                "s3://bucket/tables/",
                "--platform",
                "process",
                "--workers",
                "2",
            ];
            let store = ["--store", "s3://bucket/store", "--chaos", "kill=0.2,seed=3"];
            let remote = run(&shop, &server, &[&remote[..], &store, &csv].concat());
            assert_eq!(remote.out, expected, "{sql}");
        }
        let left: Vec<_> = bucket.list(Some(&Path::from("store"))).try_collect().await.unwrap();
        assert!(left.is_empty(), "objects are left in the store: {left:?}");
    }
}

#[tokio::test]
async fn an_endpoint_in_the_url_reaches_the_workers() {
    let (shop, server) = (Shop::new(), Server::ministack());
    server.make_bucket("bucket");
    upload(&shop, &bucket(&server)).await;
    let expected = shop.sql(QUERIES[0], &["--format", "csv"]).out;
    let data = format!("s3://bucket/tables?endpoint={}", server.endpoint());
    let mut program = shop.program();
    let output = server
        .serve(&mut program)
        .env_remove("AWS_ENDPOINT_URL")
        .args([
            "--data",
            &data,
            "--platform",
            "process",
            "--format",
            "csv",
            "-c",
            QUERIES[0],
        ])
        .output()
        .unwrap();
    assert_eq!(Ran::of(output).out, expected);
}

#[tokio::test]
async fn what_is_not_in_s3_is_said() {
    let (shop, server) = (Shop::new(), Server::ministack());
    server.make_bucket("bucket");
    for (data, what) in [
        ("s3://bucket/nothing", "s3://bucket/nothing: there is nothing below it"),
        ("s3://nobodys/tables", "s3://nobodys/tables: cannot be listed"),
        ("s3://Bucket/x", "a place in S3 is named"),
    ] {
        let ran = run(&shop, &server, &["--data", data, "-c", "SELECT 1"]);
        ran.failed(1, &[what]);
    }
}

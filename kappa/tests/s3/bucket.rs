//! What a test sees of a bucket.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use kappa_test_servers::{ACCESS_KEY, REGION, SECRET_KEY, Server};

pub(crate) const NAME: &str = "bucket";

pub(crate) struct Bucket(Client);

impl Bucket {
    /// A new one, on this server.
    pub(crate) fn on(server: &Server) -> Self {
        server.make_bucket(NAME);
        let tls = Provider::Rustls(CryptoMode::Ring);
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().tls_provider(tls).build_https())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
            .endpoint_url(server.endpoint())
            .force_path_style(true);
        Bucket(Client::from_conf(config.build()))
    }

    pub(crate) async fn get(&self, key: &str) -> Vec<u8> {
        let answer = self.0.get_object().bucket(NAME).key(key).send().await;
        let body = answer.expect("the object").body.collect().await;
        body.expect("its content").to_vec()
    }

    pub(crate) async fn objects(&self) -> Vec<String> {
        let page = self.0.list_objects_v2().bucket(NAME).send().await.expect("a list");
        let keys = page.contents().iter().filter_map(|object| object.key());
        keys.map(ToString::to_string).collect()
    }

    /// The keys of what has been begun and is no object.
    pub(crate) async fn uploads(&self) -> Vec<String> {
        let page = self
            .0
            .list_multipart_uploads()
            .bucket(NAME)
            .send()
            .await
            .expect("a list");
        let keys = page.uploads().iter().filter_map(|upload| upload.key());
        keys.map(ToString::to_string).collect()
    }
}

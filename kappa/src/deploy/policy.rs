//! Who may do what: the policies of IAM for a function's role and for the people around it, with nothing in them that is not needed.
//!
//! The policy of a role that Kappa makes is the one that is printed; it is compared as a value, so that a second deployment changes nothing.

use super::names::{FunctionName, Place, ROLE_PATH};
use serde_json::{Value, json};

/// The version of the language of policies.
const VERSION: &str = "2012-10-17";

/// Where: the parts of an ARN. `*` where it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub(crate) partition: String,
    pub(crate) region: String,
    pub(crate) account: String,
}

impl Scope {
    /// All regions of the account that a policy is put into.
    pub(crate) fn anywhere() -> Self {
        Scope {
            partition: "aws".into(),
            region: "*".into(),
            account: "*".into(),
        }
    }

    /// That of a role's ARN, `arn:PARTITION:iam::ACCOUNT:role/..`, in a region.
    pub(crate) fn of_role(arn: &str, region: &str) -> Option<Self> {
        let mut parts = arn.split(':');
        let (first, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (_, account) = (parts.next()?, parts.next()?);
        (first == "arn" && service == "iam").then(|| Scope {
            partition: partition.into(),
            region: region.into(),
            account: account.into(),
        })
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:{}:{service}:{}:{}:{resource}",
            self.partition, self.region, self.account
        )
    }

    fn role_arn(&self, resource: &str) -> String {
        format!("arn:{}:iam::{}:{resource}", self.partition, self.account)
    }

    fn bucket_arn(&self, resource: &str) -> String {
        format!("arn:{}:s3:::{resource}", self.partition)
    }
}

/// Who may take the role: Lambda alone.
pub(crate) fn trust() -> Value {
    policy([json!({
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    })])
}

/// What the function itself does: it writes its log, and what is in its bucket. It does not make its log group: one that is removed stays so.
pub(crate) fn role(scope: &Scope, name: Option<&FunctionName>, place: Option<&Place>) -> Value {
    let group = scope.arn("logs", &format!("log-group:/aws/lambda/{}:*", or_any(name)));
    let logs = json!({
        "Sid": "Logs",
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": group,
    });
    policy(
        [logs]
            .into_iter()
            .chain(place.into_iter().flat_map(|place| objects(scope, place))),
    )
}

/// What whoever starts runs does: invokes the function, and reads and writes where the workers do.
pub(crate) fn run(scope: &Scope, name: Option<&FunctionName>, place: Option<&Place>) -> Value {
    let function = scope.arn("lambda", &format!("function:{}", or_any(name)));
    // An alias and a version are resources of their own: `NAME:ALIAS`.
    let qualified = format!("{function}:*");
    let invoke = json!({
        "Sid": "Invoke",
        "Effect": "Allow",
        "Action": ["lambda:InvokeFunction", "lambda:GetFunction", "lambda:GetFunctionConfiguration"],
        "Resource": [function, qualified],
    });
    policy(
        [invoke]
            .into_iter()
            .chain(place.into_iter().flat_map(|place| objects(scope, place))),
    )
}

/// What `kappa deploy`, `kappa undeploy` and `kappa status` do.
pub(crate) fn deploy(scope: &Scope, name: Option<&FunctionName>, place: Option<&Place>) -> Value {
    let name_or_any = or_any(name);
    let function = json!({
        "Sid": "Function",
        "Effect": "Allow",
        "Action": [
            "lambda:CreateFunction", "lambda:DeleteFunction", "lambda:GetFunction", "lambda:GetFunctionConfiguration",
            "lambda:ListTags", "lambda:TagResource", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration",
            "lambda:PutFunctionConcurrency",
        ],
        "Resource": scope.arn("lambda", &format!("function:{name_or_any}")),
    });
    let role_resource = scope.role_arn(&format!("role{ROLE_PATH}kappa-{name_or_any}-*"));
    // A role that is not there has no path: whoever asks for it needs the right to ask for its name.
    let role_without_path = scope.role_arn(&format!("role/kappa-{name_or_any}-*"));
    let role = json!({
        "Sid": "Role",
        "Effect": "Allow",
        "Action": [
            "iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:GetRole", "iam:GetRolePolicy",
            "iam:ListAttachedRolePolicies", "iam:ListRolePolicies", "iam:PutRolePolicy", "iam:TagRole",
        ],
        "Resource": [role_resource, role_without_path],
    });
    let pass_role = json!({
        "Sid": "GiveRoleToFunction",
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": role_resource,
        "Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
    });
    let group = format!("log-group:/aws/lambda/{name_or_any}");
    let logs = json!({
        "Sid": "LogGroup",
        "Effect": "Allow",
        "Action": [
            "logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:ListTagsForResource", "logs:PutRetentionPolicy", "logs:TagResource",
        ],
        "Resource": [scope.arn("logs", &group), scope.arn("logs", &format!("{group}:*"))],
    });
    // These know no resource.
    let lists = json!({
        "Sid": "Lists",
        "Effect": "Allow",
        "Action": ["iam:ListRoles", "lambda:ListFunctions", "logs:DescribeLogGroups"],
        "Resource": "*",
    });
    let uploads = place.map(|place| {
        let prefix = place.key("kappa-deploy/");
        let in_bucket = |rest: &str| scope.bucket_arn(&format!("{}/{rest}", place.bucket));
        [
            json!({
                "Sid": "Packages",
                "Effect": "Allow",
                "Action": ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
                "Resource": in_bucket(&format!("{prefix}*")),
            }),
            json!({
                "Sid": "ListOfPackages",
                "Effect": "Allow",
                "Action": "s3:ListBucket",
                "Resource": scope.bucket_arn(&place.bucket),
                "Condition": {"StringLike": {"s3:prefix": format!("{prefix}*")}},
            }),
        ]
    });
    policy(
        [function, role, pass_role, logs, lists]
            .into_iter()
            .chain(uploads.into_iter().flatten()),
    )
}

/// Reading and writing the objects of a place. Without the right to list, S3 says "forbidden" of an object that is not there. Uploads that were begun and not
/// completed are looked for when a prefix is deleted, and when an object is put to S3 again.
fn objects(scope: &Scope, place: &Place) -> [Value; 3] {
    let all = place.key("*");
    let mut list = json!({
        "Sid": "ListOfObjects",
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": scope.bucket_arn(&place.bucket),
    });
    if !place.prefix.is_empty() {
        list["Condition"] = json!({"StringLike": {"s3:prefix": [place.key(""), all]}});
    }
    let objects = json!({
        "Sid": "Objects",
        "Effect": "Allow",
        "Action": [
            "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject",
        ],
        "Resource": scope.bucket_arn(&format!("{}/{all}", place.bucket)),
    });
    // S3 knows no condition on the prefix for this one.
    let uploads = json!({
        "Sid": "ListOfUploads",
        "Effect": "Allow",
        "Action": "s3:ListBucketMultipartUploads",
        "Resource": scope.bucket_arn(&place.bucket),
    });
    [objects, list, uploads]
}

fn or_any(name: Option<&FunctionName>) -> &str {
    name.map_or("*", FunctionName::as_str)
}

fn policy(statements: impl IntoIterator<Item = Value>) -> Value {
    json!({"Version": VERSION, "Statement": statements.into_iter().collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope::of_role(
            "arn:aws-cn:iam::123456789012:role/kappa/kappa-fib-cn-north-1",
            "cn-north-1",
        )
        .unwrap()
    }

    fn fib() -> FunctionName {
        FunctionName::parse("fib").unwrap()
    }

    fn statements(policy: &Value) -> &Vec<Value> {
        policy["Statement"].as_array().unwrap()
    }

    fn actions(statement: &Value) -> Vec<&str> {
        match &statement["Action"] {
            Value::Array(actions) => actions.iter().map(|action| action.as_str().unwrap()).collect(),
            action => vec![action.as_str().unwrap()],
        }
    }

    #[test]
    fn a_role_without_a_bucket_writes_its_own_log_and_nothing_else() {
        let policy = role(&scope(), Some(&fib()), None);
        assert_eq!(
            policy,
            json!({"Version": "2012-10-17", "Statement": [{
                "Sid": "Logs",
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": "arn:aws-cn:logs:cn-north-1:123456789012:log-group:/aws/lambda/fib:*",
            }]})
        );
    }

    #[test]
    fn a_role_with_a_bucket_reaches_its_prefix_alone() {
        let place = Place::parse("bucket/runs").unwrap();
        let policy = role(&scope(), Some(&fib()), Some(&place));
        let [_, objects, list, uploads] = statements(&policy).as_slice() else {
            panic!("{policy}")
        };
        assert_eq!(objects["Resource"], "arn:aws-cn:s3:::bucket/runs/*");
        assert_eq!(list["Resource"], "arn:aws-cn:s3:::bucket");
        assert_eq!(list["Condition"]["StringLike"]["s3:prefix"], json!(["runs/", "runs/*"]));
        assert_eq!(uploads["Resource"], "arn:aws-cn:s3:::bucket");
        let whole = role(&scope(), Some(&fib()), Some(&Place::parse("bucket").unwrap()));
        assert_eq!(statements(&whole)[1]["Resource"], "arn:aws-cn:s3:::bucket/*");
        assert!(statements(&whole)[2].get("Condition").is_none());
    }

    #[test]
    fn workers_and_whoever_starts_runs_may_do_all_that_the_store_and_put_object_ask_of_s3() {
        const BUCKET: &str = "arn:aws-cn:s3:::bucket";
        const OBJECTS: &str = "arn:aws-cn:s3:::bucket/runs/*";
        // By the requests of `store/s3` and `coordinator/driver/publish/s3`: whoever adds one there adds its action here.
        let needed = [
            ("ListObjectsV2", "s3:ListBucket", BUCKET),
            ("GetObject, HeadObject", "s3:GetObject", OBJECTS),
            ("PutObject", "s3:PutObject", OBJECTS),
            ("DeleteObject, DeleteObjects", "s3:DeleteObject", OBJECTS),
            (
                "CreateMultipartUpload, UploadPart, CompleteMultipartUpload",
                "s3:PutObject",
                OBJECTS,
            ),
            ("AbortMultipartUpload", "s3:AbortMultipartUpload", OBJECTS),
            ("ListMultipartUploads", "s3:ListBucketMultipartUploads", BUCKET),
            ("ListParts", "s3:ListMultipartUploadParts", OBJECTS),
        ];
        let place = Place::parse("bucket/runs").unwrap();
        for policy in [
            role(&scope(), Some(&fib()), Some(&place)),
            run(&scope(), Some(&fib()), Some(&place)),
        ] {
            let allows = |action: &str, resource: &str| {
                statements(&policy)
                    .iter()
                    .any(|statement| statement["Resource"] == resource && actions(statement).contains(&action))
            };
            for (request, action, resource) in needed {
                assert!(
                    allows(action, resource),
                    "{request} needs {action} on {resource}: {policy}"
                );
            }
        }
    }

    #[test]
    fn whoever_starts_runs_may_invoke_the_function_by_its_name_its_aliases_and_its_versions() {
        let policy = run(&scope(), Some(&fib()), None);
        let function = "arn:aws-cn:lambda:cn-north-1:123456789012:function:fib";
        let invoke = &statements(&policy)[0];
        assert!(actions(invoke).contains(&"lambda:InvokeFunction"), "{policy}");
        assert_eq!(invoke["Resource"], json!([function, format!("{function}:*")]));
    }

    #[test]
    fn no_policy_allows_every_action_and_only_lists_reach_every_resource() {
        let place = Place::parse("bucket/runs").unwrap();
        let all = [
            role(&scope(), Some(&fib()), Some(&place)),
            run(&Scope::anywhere(), Some(&fib()), Some(&place)),
            deploy(&Scope::anywhere(), None, Some(&place)),
        ];
        for statement in all.iter().flat_map(statements) {
            for action in actions(statement) {
                assert!(!action.contains('*'), "{statement}");
                let is_list = action.contains(":List") || action.contains(":Describe");
                assert!(statement["Resource"] != "*" || is_list, "{statement}");
            }
        }
    }

    #[test]
    fn whoever_deploys_can_give_a_function_the_roles_of_kappa_and_no_others() {
        let policy = deploy(&Scope::anywhere(), Some(&fib()), None);
        let pass = statements(&policy)
            .iter()
            .find(|statement| statement["Action"] == "iam:PassRole")
            .unwrap();
        assert_eq!(pass["Resource"], "arn:aws:iam::*:role/kappa/kappa-fib-*");
        assert_eq!(
            pass["Condition"]["StringEquals"]["iam:PassedToService"],
            "lambda.amazonaws.com"
        );
    }

    #[test]
    fn the_scope_of_something_else_than_a_role_is_not_guessed() {
        for text in ["", "arn:aws", "arn:aws:s3:::bucket:x", "kappa-fib"] {
            assert_eq!(Scope::of_role(text, "x"), None, "{text}");
        }
    }
}

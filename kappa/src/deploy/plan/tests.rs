use super::*;
use proptest::prelude::*;

fn name() -> FunctionName {
    FunctionName::parse("fib").unwrap()
}

fn wanted() -> Wanted {
    Wanted {
        name: name(),
        region: "eu-north-1".into(),
        program: "fib".into(),
        arch: Arch::X86,
        hash: "h/1=".into(),
        size: 1 << 20,
        is_direct: true,
        memory: None,
        timeout: None,
        role: Some(RoleChoice::Made),
        environment: None,
        place: None,
        retention: None,
        concurrency: None,
        adopt: false,
    }
}

const ROLE: &str = "arn:aws:iam::123456789012:role/kappa/kappa-fib-eu-north-1";

/// What a step makes of what is there, as AWS does it.
fn carry_out(found: &mut Found, step: &Step, wanted: &Wanted) {
    let role_or_made = |configuration: &Configuration| Configuration {
        role: configuration.role.clone().or(Some(ROLE.into())),
        ..configuration.clone()
    };
    match step.clone() {
        Step::CreateGroup { tags } => {
            assert!(found.group.is_none());
            let arn = "group".into();
            found.group = Some(Group {
                arn,
                retention: None,
                bytes: 0,
                tags,
            });
        }
        Step::SetRetention { days, .. } => found.group.as_mut().unwrap().retention = Some(days),
        Step::TagGroup { tags } => found.group.as_mut().unwrap().tags.extend(tags),
        Step::CreateRole { tags } => {
            assert!(found.role.is_none());
            found.role = Some(Role {
                arn: ROLE.into(),
                policy: None,
                tags,
            });
        }
        Step::SetRolePolicy { place, before } => {
            let role = found.role.as_mut().unwrap();
            assert_eq!(role.policy, before);
            let scope = Scope::of_role(ROLE, &wanted.region).unwrap();
            role.policy = Some(policy::role(&scope, Some(&wanted.name), place.as_ref()));
        }
        Step::TagRole { tags } => found.role.as_mut().unwrap().tags.extend(tags),
        Step::RemoveRole => {
            assert_ne!(
                found.function.as_ref().unwrap().configuration.role.as_deref(),
                Some(ROLE)
            );
            assert!(found.role.take().is_some());
        }
        Step::Upload { to } => found.uploads.push(to),
        Step::RemoveUploads { uploads } => found.uploads.retain(|upload| !uploads.contains(upload)),
        Step::CreateFunction {
            configuration,
            arch,
            upload,
            tags,
        } => {
            assert!(found.function.is_none() && found.group.is_some());
            assert!(upload.is_none_or(|upload| found.uploads.contains(&upload)));
            found.function = Some(Function {
                arn: "function".into(),
                configuration: role_or_made(&configuration),
                arch: arch.as_str().into(),
                hash: wanted.hash.clone(),
                size: 7,
                is_zip: true,
                concurrency: None,
                tags,
                state: State::Ready,
                modified: String::new(),
            });
        }
        Step::Configure { after, before } => {
            let function = found.function.as_mut().unwrap();
            assert_eq!(function.configuration, before);
            function.configuration = role_or_made(&after);
        }
        Step::SetCode { arch, .. } => {
            let function = found.function.as_mut().unwrap();
            function.arch = arch.as_str().into();
            function.hash = wanted.hash.clone();
        }
        Step::SetConcurrency { most, .. } => found.function.as_mut().unwrap().concurrency = Some(most),
        Step::TagFunction { tags } => found.function.as_mut().unwrap().tags.extend(tags),
    }
}

/// Carries out a plan up to a step; gives how many steps it had.
fn deploy_until(found: &mut Found, wanted: &Wanted, limit: usize) -> usize {
    let steps = decide(wanted, found).unwrap();
    for step in steps.iter().take(limit) {
        carry_out(found, step, wanted);
    }
    steps.len()
}

fn deployed(wanted: &Wanted) -> Found {
    let mut found = Found::default();
    deploy_until(&mut found, wanted, usize::MAX);
    found
}

#[test]
fn a_second_deployment_has_nothing_to_do() {
    let found = deployed(&wanted());
    assert_eq!(decide(&wanted(), &found), Ok(vec![]));
    let function = found.function.unwrap();
    assert_eq!(function.configuration.memory, DEFAULT_MEMORY);
    assert_eq!(found.group.unwrap().retention, Some(DEFAULT_RETENTION));
}

#[test]
fn an_option_that_is_not_given_leaves_what_is_there() {
    let first = Wanted {
        memory: Some(512),
        timeout: Some(3),
        environment: Some(BTreeMap::from([("A".into(), "1".into())])),
        place: Some(Place::parse("bucket/runs").unwrap()),
        retention: Some(1),
        concurrency: Some(2),
        ..wanted()
    };
    let found = deployed(&first);
    let bare = Wanted { role: None, ..wanted() };
    assert_eq!(decide(&bare, &found), Ok(vec![]));
}

#[test]
fn new_code_is_one_step_and_what_is_set_is_another() {
    let found = deployed(&wanted());
    let other = Wanted {
        hash: "h2".into(),
        ..wanted()
    };
    let set_code = Step::SetCode {
        arch: Arch::X86,
        upload: None,
    };
    assert_eq!(decide(&other, &found), Ok(vec![set_code.clone()]));
    let both = Wanted {
        memory: Some(512),
        ..other
    };
    let steps = decide(&both, &found).unwrap();
    // The code comes last: whatever fails before it can be undone.
    assert!(matches!(&steps[0], Step::Configure { after, .. } if after.memory == 512));
    assert_eq!(steps[1..], [set_code]);
    assert_eq!(first_for_good(&steps), 2);
}

#[test]
fn a_package_that_is_too_large_to_send_goes_by_the_bucket_and_does_not_stay_there() {
    let large = Wanted {
        is_direct: false,
        size: 60 << 20,
        ..wanted()
    };
    assert!(matches!(
        decide(&large, &Found::default()),
        Err(PlanError::NeedsBucket { .. })
    ));
    let message = decide(&large, &Found::default()).unwrap_err().to_string();
    assert!(
        message.contains("--bucket") && message.contains("--profile dist"),
        "{message}"
    );
    let by_bucket = Wanted {
        place: Some(Place::parse("bucket/x").unwrap()),
        ..large
    };
    let steps = decide(&by_bucket, &Found::default()).unwrap();
    let to = Upload {
        bucket: "bucket".into(),
        key: "x/kappa-deploy/fib/h1.zip".into(),
    };
    assert!(steps.contains(&Step::Upload { to: to.clone() }));
    assert_eq!(steps.last(), Some(&Step::RemoveUploads { uploads: vec![to] }));
    assert_eq!(decide(&by_bucket, &deployed(&by_bucket)), Ok(vec![]));
}

#[test]
fn what_is_somebody_elses_is_refused_by_name_and_taken_over_if_that_is_wanted() {
    let mut found = deployed(&wanted());
    for tags in [
        &mut found.function.as_mut().unwrap().tags,
        &mut found.group.as_mut().unwrap().tags,
        &mut found.role.as_mut().unwrap().tags,
    ] {
        tags.clear();
    }
    let message = decide(&wanted(), &found).unwrap_err().to_string();
    for thing in [
        "function fib",
        "log group /aws/lambda/fib",
        "role kappa-fib-eu-north-1",
        "--adopt",
    ] {
        assert!(message.contains(thing), "{message}");
    }
    let adopting = Wanted {
        adopt: true,
        ..wanted()
    };
    let steps = decide(&adopting, &found).unwrap();
    assert!(
        matches!(
            steps[..],
            [Step::TagGroup { .. }, Step::TagRole { .. }, Step::TagFunction { .. }]
        ),
        "{steps:?}"
    );
    for step in &steps {
        carry_out(&mut found, step, &adopting);
    }
    assert_eq!(decide(&wanted(), &found), Ok(vec![]));
}

#[test]
fn the_log_group_that_lambda_has_made_again_is_not_somebody_elses() {
    let mut found = deployed(&wanted());
    let group = found.group.as_mut().unwrap();
    (group.tags, group.retention) = (Tags::new(), None);
    let steps = decide(&wanted(), &found).unwrap();
    assert!(
        matches!(steps[..], [Step::SetRetention { .. }, Step::TagGroup { .. }]),
        "{steps:?}"
    );
    found.function = None;
    assert!(matches!(decide(&wanted(), &found), Err(PlanError::Foreign { .. })));
}

#[test]
fn a_new_function_without_a_role_is_refused_with_both_ways_out() {
    let without = Wanted { role: None, ..wanted() };
    let message = decide(&without, &Found::default()).unwrap_err().to_string();
    assert!(
        message.contains("--role ARN") && message.contains("--create-role"),
        "{message}"
    );
}

#[test]
fn a_role_that_is_not_needed_any_more_goes_after_the_function_has_another() {
    let mut found = deployed(&wanted());
    let other = Wanted {
        role: Some(RoleChoice::Given("arn:aws:iam::1:role/x".into())),
        ..wanted()
    };
    let steps = decide(&other, &found).unwrap();
    assert!(
        matches!(steps[..], [Step::Configure { .. }, Step::RemoveRole]),
        "{steps:?}"
    );
    deploy_until(&mut found, &other, usize::MAX);
    assert_eq!(decide(&other, &found), Ok(vec![]));
}

#[test]
fn a_role_that_somebody_has_deleted_is_made_again_and_given_to_the_function_again() {
    let mut found = deployed(&wanted());
    found.role = None;
    let bare = Wanted { role: None, ..wanted() };
    let steps = decide(&bare, &found).unwrap();
    assert!(
        matches!(
            steps[..],
            [
                Step::CreateRole { .. },
                Step::SetRolePolicy { .. },
                Step::Configure { .. }
            ]
        ),
        "{steps:?}"
    );
}

#[test]
fn a_function_made_of_an_image_is_refused() {
    let mut found = deployed(&wanted());
    found.function.as_mut().unwrap().is_zip = false;
    assert_eq!(decide(&wanted(), &found), Err(PlanError::Image("fib".into())));
}

prop_compose! {
    fn any_wanted()(
        memory in proptest::option::of(128..300i32),
        timeout in proptest::option::of(1..900i32),
        is_made in any::<bool>(),
        is_direct in any::<bool>(),
        hash in "[a-c]",
        place in proptest::option::of(prop_oneof!["bucket/a", "other"]),
        retention in proptest::option::of(1..9i32),
        concurrency in proptest::option::of(1..9i32),
        variables in proptest::option::of(proptest::collection::btree_map("[AB]", "[xy]", 0..3)),
        is_arm in any::<bool>(),
    ) -> Wanted {
        let place = place.map(|place| Place::parse(&place).unwrap());
        Wanted {
            memory,
            timeout,
            role: Some(if is_made { RoleChoice::Made } else { RoleChoice::Given("arn:aws:iam::1:role/x".into()) }),
            is_direct: is_direct || place.is_none(),
            hash,
            place,
            retention,
            concurrency,
            environment: variables,
            arch: if is_arm { Arch::Arm } else { Arch::X86 },
            ..wanted()
        }
    }
}

proptest! {
    /// Kill deployments after any of their steps, however many: the next one that comes to its end makes all that it wants.
    #[test]
    fn a_deployment_that_was_killed_anywhere_is_repaired_by_the_next(
        killed in proptest::collection::vec((any_wanted(), 0..12usize), 0..4),
        last in any_wanted(),
    ) {
        let mut found = Found::default();
        for (wanted, limit) in &killed {
            deploy_until(&mut found, wanted, *limit);
        }
        deploy_until(&mut found, &last, usize::MAX);
        prop_assert_eq!(decide(&last, &found), Ok(vec![]));
        let function = found.function.unwrap();
        prop_assert_eq!(&function.hash, &last.hash);
        prop_assert_eq!(function.configuration.memory, last.memory.unwrap_or(function.configuration.memory));
        prop_assert!(found.uploads.is_empty());
        let is_made = last.role == Some(RoleChoice::Made);
        prop_assert_eq!(found.role.is_some(), is_made);
    }
}

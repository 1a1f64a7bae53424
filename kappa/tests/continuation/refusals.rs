//! What cannot work does not compile, and the message says where, why, and what to do instead.
//!
//! `TRYBUILD=overwrite` writes the expected messages anew.

/// Programs of whose frames one could not be resumed: the original dropped that frame without a word.
const DROPPED_FRAMES: &str = "r04_";

#[test]
fn what_cannot_be_resumed_is_refused_at_the_right_place_with_the_way_out() {
    let refused = trybuild::TestCases::new();
    for file in std::fs::read_dir("tests/continuation/refused").expect("the folder") {
        let path = file.expect("a file").path();
        let is_another_tests = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(DROPPED_FRAMES));
        if path.extension().is_some_and(|extension| extension == "rs") && !is_another_tests {
            refused.compile_fail(path);
        }
    }
}

#[test]
fn r04_a_suspension_point_under_a_frame_that_could_not_be_resumed_does_not_compile() {
    trybuild::TestCases::new().compile_fail(format!("tests/continuation/refused/{DROPPED_FRAMES}*.rs"));
}

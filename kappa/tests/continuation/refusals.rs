//! What cannot work does not compile, and the message says where, why, and what to do instead.
//!
//! `TRYBUILD=overwrite` writes the expected messages anew.

#[test]
fn what_cannot_be_resumed_is_refused_at_the_right_place_with_the_way_out() {
    trybuild::TestCases::new().compile_fail("tests/continuation/refused/*.rs");
}

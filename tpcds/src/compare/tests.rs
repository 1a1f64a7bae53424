use super::pairs::Matching;
use super::*;
use datafusion::arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int32Array, StringArray, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Schema};

const EXACT: Extent = Extent::Window {
    skipped: false,
    limited: false,
};
const LIMITED: Extent = Extent::Window {
    skipped: false,
    limited: true,
};

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let named = columns
        .into_iter()
        .enumerate()
        .map(|(index, column)| (format!("c{index}"), column));
    RecordBatch::try_from_iter_with_nullable(named.map(|(name, column)| (name, column, true))).unwrap()
}

fn ints(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn decimals(values: &[i128]) -> ArrayRef {
    Arc::new(
        Decimal128Array::from(values.to_vec())
            .with_precision_and_scale(7, 2)
            .unwrap(),
    )
}

/// Compares answers whose reference has its first columns as the answer and `keys` further ones as sort keys.
fn verdict(actual: Vec<ArrayRef>, reference: Vec<ArrayRef>, keys: usize, extent: Extent) -> Verdict {
    let (actual, reference) = (batch(actual), batch(reference));
    let reference = Reference::new(&reference.schema(), &[reference], keys, extent).unwrap();
    compare(&actual.schema(), &[actual], &reference).unwrap()
}

fn difference(verdict: Verdict) -> Difference {
    match verdict {
        Verdict::Different(difference) => difference,
        other => panic!("expected a difference, got {other:?}"),
    }
}

#[test]
fn q22_without_order_by_the_order_of_rows_is_free() {
    assert_eq!(
        verdict(vec![ints(&[3, 1, 2, 1])], vec![ints(&[1, 1, 2, 3])], 0, EXACT),
        Verdict::Equal
    );
    assert_eq!(verdict(vec![ints(&[])], vec![ints(&[])], 0, EXACT), Verdict::Equal);
}

#[test]
fn q22_a_doubled_row_is_found_even_if_the_count_is_right() {
    let found = difference(verdict(vec![ints(&[1, 2, 2])], vec![ints(&[1, 2])], 0, EXACT));
    assert_eq!(found.summary, "3 rows instead of 2");
    assert_eq!((found.missing.len(), found.unexpected), (0, vec!["2".to_owned()]));

    let found = difference(verdict(vec![ints(&[1, 1, 3])], vec![ints(&[1, 2, 3])], 0, EXACT));
    assert_eq!(
        (found.missing, found.unexpected),
        (vec!["2".to_owned()], vec!["1".to_owned()])
    );
}

#[test]
fn q22_a_missing_row_is_found() {
    let found = difference(verdict(vec![ints(&[1, 3])], vec![ints(&[1, 2, 3])], 0, EXACT));
    assert_eq!(found.to_string(), "2 rows instead of 3\n  - 2");
}

#[test]
fn q22_a_decimal_that_is_off_by_its_last_digit_is_wrong() {
    let right = vec![ints(&[1, 2]), decimals(&[1234, 99_999])];
    assert_eq!(verdict(right.clone(), right.clone(), 0, EXACT), Verdict::Equal);
    let wrong = difference(verdict(vec![ints(&[1, 2]), decimals(&[1234, 99_998])], right, 0, EXACT));
    assert_eq!(
        (wrong.missing, wrong.unexpected),
        (vec!["2 | 999.99".to_owned()], vec!["2 | 999.98".to_owned()])
    );
}

#[test]
fn q22_rows_with_different_keys_must_be_in_order_and_ties_may_be_in_any() {
    let names = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let keys = ints(&[1, 1, 2, 3]);
    let reference = || vec![names(&["a", "b", "c", "d"]), Arc::clone(&keys)];
    assert_eq!(
        verdict(vec![names(&["b", "a", "c", "d"])], reference(), 1, EXACT),
        Verdict::Equal
    );
    let wrong = difference(verdict(vec![names(&["a", "b", "d", "c"])], reference(), 1, EXACT));
    assert_eq!(
        wrong.summary,
        "the right rows in the wrong order: row 3 should be others"
    );
}

#[test]
fn q22_a_tie_at_the_limit_is_settled_by_the_full_answer() {
    // select name .. order by key limit 3, where b, c and d tie for the last two places
    let names = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let limited = || vec![names(&["a", "b", "c"]), ints(&[1, 2, 2])];
    let full = || vec![names(&["a", "b", "c", "d", "e"]), ints(&[1, 2, 2, 2, 3])];
    let everything = Extent::Everything {
        offset: 0,
        limit: Some(3),
    };

    let other_tail = || vec![names(&["a", "d", "b"])];
    assert_eq!(verdict(other_tail(), limited(), 1, LIMITED), Verdict::TieAtTheEdge);
    assert_eq!(verdict(other_tail(), full(), 1, everything), Verdict::Equal);
    for wrong in [["a", "d", "d"], ["a", "b", "e"], ["b", "c", "d"]] {
        difference(verdict(vec![names(&wrong)], full(), 1, everything));
    }
    // A wrong row before the tie needs no full answer.
    difference(verdict(vec![names(&["x", "b", "c"])], limited(), 1, LIMITED));
    // If the limit was not reached, there is nothing beyond the edge.
    difference(verdict(other_tail(), limited(), 1, EXACT));
    difference(verdict(vec![names(&["a", "b"])], full(), 1, everything));
}

#[test]
fn q22_an_offset_into_a_tie_is_settled_by_the_full_answer_too() {
    let everything = Extent::Everything {
        offset: 1,
        limit: Some(2),
    };
    let full = || vec![ints(&[10, 11, 12, 13]), ints(&[1, 1, 2, 3])];
    assert_eq!(verdict(vec![ints(&[10, 12])], full(), 1, everything), Verdict::Equal);
    assert_eq!(verdict(vec![ints(&[11, 12])], full(), 1, everything), Verdict::Equal);
    difference(verdict(vec![ints(&[12, 10])], full(), 1, everything));
    difference(verdict(vec![ints(&[10, 11])], full(), 1, everything));
    let window = Extent::Window {
        skipped: true,
        limited: false,
    };
    assert_eq!(
        verdict(vec![ints(&[10, 12])], vec![ints(&[11, 12]), ints(&[1, 2])], 1, window),
        Verdict::TieAtTheEdge
    );
}

#[test]
fn floats_may_differ_by_rounding_and_by_no_more() {
    let third = 1.0 / 3.0;
    let rounded = third * (1.0 + 4e-10);
    assert_eq!(
        verdict(vec![floats(&[rounded, 7e20])], vec![floats(&[7e20, third])], 0, EXACT),
        Verdict::Equal
    );
    difference(verdict(
        vec![floats(&[third * (1.0 + 3e-9)])],
        vec![floats(&[third])],
        0,
        EXACT,
    ));
    assert_eq!(
        verdict(
            vec![floats(&[f64::NAN, -0.0])],
            vec![floats(&[0.0, f64::NAN])],
            0,
            EXACT
        ),
        Verdict::Equal
    );
    difference(verdict(vec![floats(&[f64::NAN])], vec![floats(&[1.0])], 0, EXACT));
    difference(verdict(
        vec![floats(&[f64::INFINITY])],
        vec![floats(&[1e308])],
        0,
        EXACT,
    ));
    assert_eq!(
        verdict(vec![floats(&[f64::INFINITY])], vec![floats(&[f64::INFINITY])], 0, EXACT),
        Verdict::Equal
    );
}

#[test]
fn floats_that_swapped_places_by_rounding_are_matched_and_doubled_ones_are_found() {
    // Sorted by the first column the second ones do not line up; a pairing exists all the same.
    let (low, high) = (1.0, 1.0 + 2e-10);
    let actual = vec![floats(&[low, high]), floats(&[5.0, 6.0])];
    assert_eq!(
        verdict(actual, vec![floats(&[low, high]), floats(&[6.0, 5.0])], 0, EXACT),
        Verdict::Equal
    );
    difference(verdict(
        vec![floats(&[1.0, 1.0, 2.0])],
        vec![floats(&[1.0, 2.0, 2.0])],
        0,
        EXACT,
    ));
    // Nearly equal keys may come in either order.
    let reference = vec![ints(&[1, 2]), floats(&[low, high])];
    assert_eq!(verdict(vec![ints(&[2, 1])], reference, 1, EXACT), Verdict::Equal);
}

#[test]
fn a_difference_among_more_rows_than_can_be_paired_off_in_all_ways_says_so() {
    for (rows, is_approximate) in [(300, false), (400, true)] {
        let right: Vec<f64> = (0..rows).map(f64::from).collect();
        assert_eq!(
            verdict(vec![floats(&right)], vec![floats(&right)], 0, EXACT),
            Verdict::Equal
        );
        let mut wrong = right.clone();
        wrong[7] = 7.5;
        let found = difference(verdict(vec![floats(&wrong)], vec![floats(&right)], 0, EXACT));
        assert_eq!(
            (found.missing.as_slice(), found.unexpected.as_slice()),
            (&["7.0".to_owned()][..], &["7.5".to_owned()][..])
        );
        assert_eq!(
            found.summary.ends_with(APPROXIMATE),
            is_approximate,
            "{rows}: {}",
            found.summary
        );
    }
}

#[test]
fn the_matching_rearranges_earlier_pairs() {
    // 0 fits a and b, 1 fits a only, 2 fits b and c: first come, first served would leave 1 alone.
    let fits = [(0, 0), (0, 1), (1, 0), (2, 1), (2, 2)];
    let is_close = |actual: usize, reference: usize| fits.contains(&(actual, reference));
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0], [0, 2, 1], [1, 0, 2]] {
        assert_eq!(
            Matching::of(&order, &[0, 1, 2], &is_close),
            (vec![], vec![]),
            "{order:?}"
        );
    }
    let (lonely, missing) = Matching::of(&[1, 1], &[0, 2], &is_close);
    assert_eq!((lonely, missing), (vec![1], vec![2]));
}

#[test]
fn nulls_equal_nulls_and_nothing_else() {
    let some: ArrayRef = Arc::new(Int32Array::from(vec![Some(0), None]));
    assert_eq!(
        verdict(vec![Arc::clone(&some)], vec![Arc::clone(&some)], 0, EXACT),
        Verdict::Equal
    );
    let wrong = difference(verdict(vec![ints(&[0, 0])], vec![some], 0, EXACT));
    assert_eq!(
        (wrong.missing, wrong.unexpected),
        (vec!["null".to_owned()], vec!["0".to_owned()])
    );
}

#[test]
fn strings_are_the_same_however_they_are_held_and_other_types_are_not() {
    let views: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b"]));
    let plain: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    assert_eq!(verdict(vec![views], vec![Arc::clone(&plain)], 0, EXACT), Verdict::Equal);
    let wrong = difference(verdict(vec![ints(&[1, 2])], vec![plain.clone()], 0, EXACT));
    assert_eq!(wrong.summary, "column 1 is Int32 instead of Utf8");
    let wrong = difference(verdict(vec![ints(&[1, 2]), plain.clone()], vec![plain], 0, EXACT));
    assert_eq!(wrong.summary, "2 columns instead of 1");
}

#[test]
fn the_width_of_a_decimal_is_not_part_of_the_answer_but_its_scale_is() {
    let decimal = |value, precision, scale| -> ArrayRef {
        Arc::new(
            Decimal128Array::from(vec![value])
                .with_precision_and_scale(precision, scale)
                .unwrap(),
        )
    };
    assert_eq!(
        verdict(vec![decimal(150, 27, 2)], vec![decimal(150, 17, 2)], 0, EXACT),
        Verdict::Equal
    );
    difference(verdict(vec![decimal(150, 17, 3)], vec![decimal(150, 17, 2)], 0, EXACT));
}

#[test]
fn batches_whose_types_differ_from_the_announced_ones_are_compared_all_the_same() {
    let announced = Arc::new(Schema::new(vec![Field::new("c0", DataType::Decimal128(17, 2), true)]));
    let rows = batch(vec![decimals(&[1, 2])]);
    let reference = Reference::new(&announced, std::slice::from_ref(&rows), 0, EXACT).unwrap();
    assert_eq!(compare(&announced, &[rows], &reference).unwrap(), Verdict::Equal);
}

#[test]
fn long_differences_are_cut_short() {
    let wrong = difference(verdict(
        vec![ints(&[])],
        vec![ints(&(0..100).collect::<Vec<_>>())],
        0,
        EXACT,
    ));
    assert!(wrong.to_string().ends_with("\n  - 4\n  - ... and 95 more"), "{wrong}");
}

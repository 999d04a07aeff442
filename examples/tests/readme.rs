//! The README shows the example, not something like it.

#[test]
fn every_line_of_the_readmes_example_is_in_the_example() {
    let (readme, example) = (include_str!("../../README.md"), include_str!("../embedded.rs"));
    let block =
        readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    assert_eq!(block.lines().count(), 15, "the README's example has fifteen lines");
    for line in block.lines() {
        assert!(example.contains(line.trim()), "not in examples/embedded.rs: {line}");
    }
}

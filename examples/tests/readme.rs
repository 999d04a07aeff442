//! The README shows the example, not something like it.

#[test]
fn the_program_of_the_readme_is_the_example_line_by_line() {
    let readme = include_str!("../../README.md");
    let block = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(block, Some(include_str!("../quickstart.rs")));
}

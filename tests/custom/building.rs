//! Projects that know vitald by its SDK only.

use vitald_tests::Stranger;

#[test]
fn each_example_makes_a_library() {
    let examples = Stranger::build("examples/custom-probes");
    for package in ["host-health", "postgres-query", "certificate-expiry"] {
        examples.library(package);
    }
}

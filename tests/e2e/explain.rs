//! `vitald explain`: what fields mean, without a supervisor or a manifest.

use vitald_tests::{Output, Supervisor};

fn explain(args: &[&str]) -> Output {
    let s = Supervisor::prepare("metadata: {name: none}\nspec: {command: [sleep, '1']}");
    s.cli(&[&["explain"], args].concat())
}

#[test]
fn a_field_is_explained_as_kubectl_does() {
    let page = explain(&["spec.livenessProbe.grpc"]).expect(0).stdout;
    let expected =
        "KIND:     Component\nVERSION:  vitald/v1\n\nFIELD: grpc <Object>\n\nDESCRIPTION:\n    Healthy when";
    assert!(page.starts_with(expected), "{page}");
    assert!(
        page.contains("\n  port\t<integer or string> -required-\n  range: 1 to 65535\n    Port to ask:"),
        "{page}"
    );
    assert!(
        page.contains("\n  onUnimplemented\t<string>\n  enum: Fail, Succeed\n  default: Fail\n"),
        "{page}"
    );
    assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");

    assert_eq!(explain(&["component.spec.livenessProbe.grpc"]).expect(0).stdout, page);
    assert_eq!(explain(&["spec.readinessProbe.allOf.grpc"]).expect(0).stdout, page);

    let document = explain(&[]).expect(0).stdout;
    assert!(document.contains("\n  spec\t<Object> -required-\n"), "{document}");
    let tree = explain(&["--recursive"]).expect(0).stdout;
    assert!(tree.contains("\n    restart\t<Object>\n      maxRestarts\t<integer>\n"), "{tree}");
    let schema: serde_json::Value =
        serde_json::from_str(&explain(&["spec.livenessProbe.grpc.port", "-o", "json"]).expect(0).stdout)
            .unwrap();
    assert_eq!(schema["maximum"], 65535);
}

#[test]
fn a_path_that_leads_nowhere_is_told_with_what_there_is() {
    for (path, words) in [
        (
            "spec.livenessProbe.gprc",
            "spec.livenessProbe has no field `gprc`; did you mean `grpc`? There are: ",
        ),
        (
            "spce",
            "a manifest has no field `spce`; did you mean `spec`? There are: apiVersion, kind, metadata, spec",
        ),
        ("maxRestarts", "did you mean `spec.restart.maxRestarts`?"),
    ] {
        let output = explain(&[path]).expect(2);
        assert!(output.stdout.is_empty() && output.stderr.contains(words), "{output:?}");
    }
}

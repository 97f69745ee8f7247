//! The image of a container: there, or got as the manifest says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::models::{CreateImageInfo, ImageInspect};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use tokio::time::timeout;
use vitald_core::restarter::{RunId, StartError, StartStep};
use vitald_core::spec::ImagePullPolicy;

use crate::component::Component;
use crate::engine::{EngineError, SOON};

/// How often it is told how far it has come.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// Makes sure that the engine has the image, and gives what it says of itself.
pub(crate) async fn ensure(component: &Component, run: RunId) -> Result<ImageInspect, StartError> {
    let image = &component.spec.image;
    let looking = format!("looking for image {image}");
    let there = match inspect(component).await {
        Ok(found) => Some(found),
        Err(err) if err.is_not_found() => None,
        Err(err) => return Err(err.at(&looking)),
    };
    match (component.spec.image_pull_policy, there) {
        (ImagePullPolicy::IfNotPresent | ImagePullPolicy::Never, Some(found)) => return Ok(found),
        (ImagePullPolicy::Never, None) => {
            return Err(StartError::System {
                doing: looking,
                reason: "the engine does not have it, and imagePullPolicy is Never: pull or build it, or change the \
                         policy"
                    .into(),
            });
        }
        (ImagePullPolicy::Always, _) | (ImagePullPolicy::IfNotPresent, None) => {}
    }
    pull(component, run).await.map_err(|err| err.at(&format!("pulling image {image}")))?;
    inspect(component).await.map_err(|err| err.at(&looking))
}

async fn inspect(component: &Component) -> Result<ImageInspect, EngineError> {
    let image = component.spec.image.clone();
    component.engine.ask(SOON, |client| async move { client.inspect_image(&image).await }).await
}

async fn pull(component: &Component, run: RunId) -> Result<(), EngineError> {
    let image = &component.spec.image;
    let tell = |step| {
        if let Some(tell) = component.tell() {
            tell(run, step);
        }
    };
    tell(StartStep::PullingImage { image: image.clone(), progress: String::new() });
    let (name, tag) = split(image);
    let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
    let client = component.engine.client().await?;
    let mut told = Box::pin(client.create_image(Some(options), None, None));
    let mut layers = Layers::default();
    let mut last = (Instant::now(), String::new());
    loop {
        // What came too soon to be told is told a little later, even if nothing comes after it.
        match timeout(TELL_EVERY, told.next()).await {
            Ok(Some(info)) => layers.note(info.map_err(|err| component.engine.failure(err))?),
            Ok(None) => break,
            Err(_) => {}
        }
        let progress = layers.to_string();
        if progress != last.1 && (last.1.is_empty() || last.0.elapsed() >= TELL_EVERY) {
            tell(StartStep::PullingImage { image: image.clone(), progress: progress.clone() });
            last = (Instant::now(), progress);
        }
    }
    tell(StartStep::PulledImage { image: image.clone() });
    Ok(())
}

/// Name, and tag or digest; without either, all tags would be pulled.
fn split(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name, digest);
    }
    match image.rsplit_once(':') {
        // What comes after the colon of a registry's port has a slash.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

/// How far the layers of an image have come.
#[derive(Debug, Default)]
struct Layers(BTreeMap<String, Layer>);

#[derive(Debug, Default, Clone, Copy)]
struct Layer {
    done: bool,
    /// Bytes, of how many, as far as that is known.
    got: u64,
    of: u64,
}

impl Layers {
    fn note(&mut self, info: CreateImageInfo) {
        let (Some(id), Some(status)) = (info.id, info.status) else { return };
        let bytes = info.progress_detail.map(|detail| (detail.current, detail.total));
        let (current, total) = bytes.unwrap_or_default();
        let number =
            |bytes: Option<i64>| bytes.and_then(|bytes| u64::try_from(bytes).ok()).filter(|n| *n > 0);
        match status.as_str() {
            "Pulling fs layer" | "Waiting" => {
                self.0.entry(id).or_default();
            }
            "Downloading" => {
                let layer = self.0.entry(id).or_default();
                layer.got = number(current).unwrap_or(layer.got);
                layer.of = number(total).unwrap_or(layer.of);
            }
            "Verifying Checksum" | "Download complete" | "Extracting" => {
                let layer = self.0.entry(id).or_default();
                layer.got = layer.of;
            }
            "Pull complete" | "Already exists" => {
                let layer = self.0.entry(id).or_default();
                *layer = Layer { done: true, got: layer.of, ..*layer };
            }
            // Of the image as a whole.
            _ => {}
        }
    }
}

impl std::fmt::Display for Layers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let done = self.0.values().filter(|layer| layer.done).count();
        write!(f, "{done} of {} layers", self.0.len())?;
        let (got, of) = self.0.values().fold((0, 0), |(got, of), layer| (got + layer.got, of + layer.of));
        if of == 0 {
            return Ok(());
        }
        write!(f, ", {} of {}", size(got), size(of))
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ProgressDetail;

    #[test]
    fn names_are_split_from_tags_and_digests() {
        assert_eq!(split("nginx"), ("nginx", "latest"));
        assert_eq!(split("stigmer/agent-runner:1.2"), ("stigmer/agent-runner", "1.2"));
        assert_eq!(split("127.0.0.1:5000/a/b"), ("127.0.0.1:5000/a/b", "latest"));
        assert_eq!(split("127.0.0.1:5000/a/b:c"), ("127.0.0.1:5000/a/b", "c"));
        assert_eq!(split("a/b@sha256:01"), ("a/b", "sha256:01"));
    }

    #[test]
    fn progress_is_summed_up_over_the_layers() {
        let mut layers = Layers::default();
        let mut told = |id: &str, status: &str, bytes: Option<(i64, i64)>| {
            layers.note(CreateImageInfo {
                id: Some(id.into()),
                status: Some(status.into()),
                progress_detail: bytes
                    .map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) }),
                ..CreateImageInfo::default()
            });
            layers.to_string()
        };
        assert_eq!(told("latest", "Pulling from a/b", None), "");
        assert_eq!(told("a", "Already exists", None), "1 of 1 layers");
        assert_eq!(told("b", "Pulling fs layer", None), "1 of 2 layers");
        assert_eq!(told("c", "Waiting", None), "1 of 3 layers");
        assert_eq!(told("b", "Downloading", Some((1 << 20, 4 << 20))), "1 of 3 layers, 1 MiB of 4 MiB");
        assert_eq!(told("c", "Downloading", Some((512, 2 << 20))), "1 of 3 layers, 1 MiB of 6 MiB");
        assert_eq!(told("b", "Download complete", None), "1 of 3 layers, 4 MiB of 6 MiB");
        assert_eq!(told("b", "Extracting", Some((1, 4 << 20))), "1 of 3 layers, 4 MiB of 6 MiB");
        assert_eq!(told("b", "Pull complete", None), "2 of 3 layers, 4 MiB of 6 MiB");
        assert_eq!(told("c", "Pull complete", None), "3 of 3 layers, 6 MiB of 6 MiB");
        assert_eq!(told("latest", "Digest: sha256:0", None), "3 of 3 layers, 6 MiB of 6 MiB");
    }
}

//! Which Service is the queue service, which of its pods is taken, and which port of it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What the chart gives the queue service.
pub const LABELS: &str = "app.kubernetes.io/name=everloop,app.kubernetes.io/component=queue";
/// Among several ports of the Service, this one.
const PORT_NAME: &str = "http";

/// A Service that pods stand behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) namespace: String,
    pub(super) name: String,
    /// Of its pods, as the API server takes it.
    pub(super) selector: String,
    /// The port of its pods: a number, or a name in each.
    pub(super) port: IntOrString,
}

/// The only one among Services with our labels; the namespaces when there are several. One without a selector or a port leads nowhere.
pub(super) fn service(all: &[Service]) -> Result<Option<Place>, Vec<String>> {
    let mut places: Vec<_> = all.iter().filter_map(place).collect();
    if places.len() > 1 {
        let namespaces: BTreeSet<_> = places.into_iter().map(|place| place.namespace).collect();
        return Err(namespaces.into_iter().collect());
    }
    Ok(places.pop())
}

fn place(service: &Service) -> Option<Place> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    let ports = spec.ports.as_deref().unwrap_or_default();
    let port = ports.iter().find(|port| port.name.as_deref() == Some(PORT_NAME)).or(ports.first())?;
    Some(Place {
        namespace: service.metadata.namespace.clone()?,
        name: service.metadata.name.clone()?,
        selector: selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","),
        port: port.target_port.clone().unwrap_or(IntOrString::Int(port.port)),
    })
}

/// A ready pod and its port. Those to be avoided are taken only when there is no other; `turn` counts through equal ones.
pub(super) fn pod(pods: &[Pod], port: &IntOrString, avoided: &BTreeSet<String>, turn: usize) -> Option<(String, u16)> {
    let ready = pods.iter().filter(|pod| is_ready(pod)).filter_map(|pod| Some((pod.metadata.name.clone()?, port_of(pod, port)?)));
    let (bad, good): (Vec<_>, Vec<_>) = ready.partition(|(name, _)| avoided.contains(name));
    let best = if good.is_empty() { bad } else { good };
    let at = turn.checked_rem(best.len())?;
    best.into_iter().nth(at)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none() && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn port_of(pod: &Pod, port: &IntOrString) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let mut ports = pod.spec.iter().flat_map(|spec| &spec.containers).flat_map(|container| container.ports.iter().flatten());
            ports.find(|port| port.name.as_ref() == Some(name))?.container_port
        }
    };
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn a_service(namespace: &str, spec: Value) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "q", "namespace": namespace}, "spec": spec})).unwrap()
    }

    fn selected(ports: Value) -> Value {
        json!({"selector": {"app": "q", "tier": "x"}, "ports": ports})
    }

    fn port_in(spec: Value) -> Option<IntOrString> {
        service(&[a_service("a", spec)]).unwrap().map(|place| place.port)
    }

    #[test]
    fn the_port_is_that_of_the_pods_and_what_leads_nowhere_is_no_service() {
        let (number, name) = (|n| Some(IntOrString::Int(n)), |n: &str| Some(IntOrString::String(n.to_owned())));
        for (spec, port) in [
            (selected(json!([{"name": "http", "port": 7400, "targetPort": "http"}])), name("http")),
            (selected(json!([{"port": 80, "targetPort": 7400}])), number(7400)),
            (selected(json!([{"port": 7400}])), number(7400)),
            (selected(json!([{"name": "metrics", "port": 1}, {"name": "http", "port": 2}])), number(2)),
            (selected(json!([{"name": "one", "port": 1}, {"name": "two", "port": 2}])), number(1)),
            (selected(json!([])), None),
            (json!({"ports": [{"port": 7400}]}), None),
            (json!({"selector": {}, "ports": [{"port": 7400}]}), None),
            (json!({"type": "ExternalName", "externalName": "elsewhere"}), None),
        ] {
            assert_eq!(port_in(spec.clone()), port, "{spec}");
        }
    }

    #[test]
    fn one_service_is_taken_and_several_are_told() {
        let good = |namespace| a_service(namespace, selected(json!([{"port": 7400}])));
        let nowhere = |namespace| a_service(namespace, json!({"ports": [{"port": 7400}]}));
        assert_eq!(service(&[]), Ok(None));
        assert_eq!(service(&[nowhere("a")]), Ok(None));
        let place = service(&[nowhere("a"), good("b")]).unwrap().unwrap();
        assert_eq!((place.namespace.as_str(), place.name.as_str(), place.selector.as_str()), ("b", "q", "app=q,tier=x"));
        assert_eq!(service(&[good("b"), good("a"), good("b")]), Err(vec!["a".to_owned(), "b".to_owned()]));
    }

    fn a_pod(name: &str, ready: &str, more: &Value) -> Pod {
        let mut pod = json!({
            "metadata": {"name": name},
            "spec": {"containers": [{"name": "side"}, {"name": "q", "ports": [{"name": "http", "containerPort": 7401}]}]},
            "status": {"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": ready}]},
        });
        for (key, value) in more.as_object().unwrap() {
            pod[key] = value.clone();
        }
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_ready_pod_is_taken_another_than_the_one_that_failed_when_there_is_one() {
        let fine = |name| a_pod(name, "True", &json!({}));
        let leaving = |name| a_pod(name, "True", &json!({"metadata": {"name": name, "deletionTimestamp": "2026-11-25T10:00:00Z"}}));
        let nothing = || a_pod("new", "True", &json!({"status": null}));
        let chosen = |pods: &[Pod], avoided: &[&str], turn| {
            let avoided = avoided.iter().map(|&name| name.to_owned()).collect();
            pod(pods, &IntOrString::Int(7400), &avoided, turn).map(|(name, _)| name)
        };
        let two = [fine("a"), fine("b")];
        for (pods, avoided, turn, wanted) in [
            (&[][..], &[][..], 0, None),
            (&[a_pod("a", "False", &json!({})), leaving("b"), nothing()], &[], 0, None),
            (&[a_pod("a", "False", &json!({})), leaving("b"), fine("c")], &[], 5, Some("c")),
            (&two, &[], 0, Some("a")),
            (&two, &[], 1, Some("b")),
            (&two, &[], 2, Some("a")),
            (&two, &["a"], 0, Some("b")),
            (&two, &["b"], 1, Some("a")),
            (&two, &["a", "b"], 1, Some("b")),
            (&[fine("a")], &["a", "gone"], 7, Some("a")),
        ] {
            assert_eq!(chosen(pods, avoided, turn).as_deref(), wanted, "avoiding {avoided:?} in turn {turn}");
        }
    }

    #[test]
    fn a_port_s_name_is_looked_up_in_the_pod() {
        let pods = [a_pod("a", "True", &json!({}))];
        for (port, wanted) in [
            (IntOrString::Int(7400), Some(7400)),
            (IntOrString::String("http".into()), Some(7401)),
            (IntOrString::String("metrics".into()), None),
            (IntOrString::Int(70_000), None),
        ] {
            assert_eq!(pod(&pods, &port, &BTreeSet::new(), 0).map(|(_, port)| port), wanted, "{port:?}");
        }
    }
}

//! Anything may be sent.

use enrolld_jobs::{
    cloud_event::{Submitted, UpstreamEvent, parse},
    refusal::Refusal,
    values::Entered,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{one_of_each, read};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(Value::from("grant")),
        Just(Value::from("\0")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,8}", inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// What a refusal must be, whatever was sent: a code, and readable.
fn is_readable(refusal: &Refusal) -> bool {
    let length = Value::Object(refusal.detail.clone()).to_string().chars().count();
    !refusal.code().is_empty() && length < 6 * 500
}

proptest! {
    #[test]
    fn parsing_any_bytes_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse(&bytes).is_err_and(|refusal| is_readable(&refusal)));
    }

    #[test]
    fn parsing_a_spoilt_event_does_not_panic(
        which in 0..UpstreamEvent::TYPES.len(),
        spoilt in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = one_of_each()[which].to_string().into_bytes();
        for (at, byte) in spoilt {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Err(refusal) = parse(bytes) {
                prop_assert!(is_readable(&refusal));
            }
        }
    }

    #[test]
    fn a_field_replaced_by_anything_is_taken_or_refused(
        which in 0..UpstreamEvent::TYPES.len(),
        field in any::<prop::sample::Index>(),
        in_data in any::<bool>(),
        replacement in any_json(),
    ) {
        let mut value = one_of_each()[which].clone();
        let fields = if in_data { &mut value["data"] } else { &mut value }.as_object_mut().unwrap();
        if let Some(key) = (!fields.is_empty()).then(|| fields.keys().nth(field.index(fields.len())).unwrap().clone()) {
            fields.insert(key, replacement);
        }
        match read(&value) {
            Ok(event) => {
                prop_assert!(!value.to_string().contains("\\u0000"));
                prop_assert!(UpstreamEvent::TYPES.contains(&event.data.type_name()));
            }
            Err(refusal) => prop_assert!(is_readable(&refusal)),
        }
    }

    #[test]
    fn what_is_submitted_is_what_is_read(
        id in "[ -~]{1,40}", source in "[ -~]{1,40}", subject in "[A-Za-z0-9._-]{1,64}",
        account in "[!-~]{1,40}", contract in prop::option::of("[^\0]{0,30}"), serial in prop::option::of("[^\0]{0,30}"),
    ) {
        let value = json!({
            "specversion": "1.0", "id": id, "source": source, "type": "registration.submitted", "subject": subject,
            "data": {"account_id": account, "contract_number": contract, "serial_number": serial},
        });
        let event = read(&value).unwrap();
        prop_assert_eq!((event.id, event.source, event.subject), (id, source, subject));
        let UpstreamEvent::RegistrationSubmitted(data) = event.data else { panic!("another type") };
        prop_assert_eq!(data.account_id.as_str(), account);
        prop_assert_eq!(&data.numbers.contract_number, &contract);
        prop_assert_eq!(&data.numbers.serial_number, &serial);
        // And the data is written as it is read.
        let again = serde_json::to_value(&data).unwrap();
        prop_assert_eq!(serde_json::from_value::<Submitted>(again).unwrap(), data);
    }

    #[test]
    fn what_is_entered_is_bounded_and_reading_it_again_changes_nothing(text in "\\PC{0,200}") {
        for entered in [Entered::new(&text), Entered::uppercase(&text)] {
            prop_assert!(entered.as_str().chars().count() <= Entered::MAX_CHARS);
            prop_assert_eq!(Entered::new(entered.as_str()), entered);
        }
    }
}

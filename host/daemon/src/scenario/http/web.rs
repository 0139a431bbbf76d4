//! Stands in the place of the client; nothing leaves the machine.
//!
//! A request is held against the rules of the real client first, and against the grants
//! where the scenario or the component names some: what would not leave there does not
//! get here.

use std::sync::{Mutex, MutexGuard, PoisonError};

use qx_events::ComponentName;
use qx_events::ports::{Http, HttpError, HttpRequest, HttpResponse};
use qx_events::web::HttpGrant;

use super::{Answer, Asked, HttpExchange};
use crate::scenario::script::{Call, Script};

/// The web, as far as the component of a bench sees it.
pub(in crate::scenario) struct Web {
    component: ComponentName,
    turn: Mutex<Turn>,
}

/// One event's.
struct Turn {
    script: Script<HttpExchange>,
    /// Where requests may go; `None`: nobody says.
    places: Option<Vec<HttpGrant>>,
}

impl Web {
    pub(in crate::scenario) fn new(component: ComponentName) -> Self {
        let turn = Turn {
            script: Script::new(Vec::new()),
            places: None,
        };
        Self {
            component,
            turn: Mutex::new(turn),
        }
    }

    /// Gets ready for an event.
    pub(in crate::scenario) fn expect(
        &self,
        exchanges: Vec<HttpExchange>,
        places: Option<Vec<HttpGrant>>,
    ) {
        let script = Script::new(exchanges);
        *self.lock() = Turn { script, places };
    }

    /// The requests of the event that is over.
    pub(in crate::scenario) fn calls(&self) -> Vec<Call<Asked>> {
        let nothing = Script::new(Vec::new());
        std::mem::replace(&mut self.lock().script, nothing).into_calls()
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Http for Web {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let asked = Asked::of(&request);
        let Turn { script, places } = &mut *self.lock();
        let judged = qx_outbound::judge(&request, places.as_deref(), &self.component);
        let origin = match judged {
            Ok(origin) => origin,
            Err(error) => {
                script.refuse(asked, error.to_string());
                return Err(error);
            }
        };
        let Some(exchange) = script.answer(asked) else {
            return Err(HttpError::Connect(format!(
                "{origin} cannot be reached: the scenario expects no such request"
            )));
        };
        match &exchange.answer {
            Answer::Error(error) => Err(error.given(&origin)),
            Answer::Response(response) => {
                let response = response.given();
                if response.body.len() > request.response_bytes_max {
                    return Err(qx_outbound::too_large(request.response_bytes_max));
                }
                Ok(response)
            }
        }
    }
}

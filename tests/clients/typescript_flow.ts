// A whole visit with the client of openapi-typescript and openapi-fetch.
//
//     node typescript_flow.js URL EMAIL PASSWORD DOCTOR

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Code = components["schemas"]["Problem"]["code"];

const [url, email, password, doctorName] = process.argv.slice(2) as [string, string, string, string];
const client = createClient<paths>({ baseUrl: url });

function ensure(fact: boolean, what: string): asserts fact {
  if (!fact) throw new Error(what);
}

function must<Value>(value: Value | undefined, problem?: { code: Code; detail: string }): Value {
  if (value === undefined) throw new Error(problem?.detail ?? "no answer");
  return value;
}

const login = await client.POST("/api/auth/login", { body: { email, password } });
const session = must(login.data, login.error);
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${session.accessToken}`);
    return request;
  },
});
const account = await client.GET("/api/auth/me");
ensure(must(account.data, account.error).email === email, "another account");

const doctors = await client.GET("/api/doctors", { params: { query: { q: doctorName } } });
const doctor = must(must(doctors.data, doctors.error).items[0]);
const query = { doctorId: doctor.id, minSeats: 2 };
const slots = await client.GET("/api/slots", { params: { query } });
const slot = must(must(slots.data, slots.error).items[0]);
const known = await client.GET("/api/slots", {
  params: { query, header: { "If-None-Match": must(slots.response.headers.get("ETag") ?? undefined) } },
});
ensure(known.response.status === 304, "not the same list");

function hold(key: string) {
  return client.POST("/api/bookings", {
    params: { header: { "Idempotency-Key": key } },
    body: { slotId: slot.id, userName: "Ada Lovelace", userEmail: "ada@example.org", seatsBooked: 2 },
  });
}
const key = crypto.randomUUID();
const held = await hold(key);
const booking = must(held.data, held.error);
ensure(must((await hold(key)).data).id === booking.id, "another booking for the same key");
ensure(booking.status === "PENDING", booking.status);

const path = { bookingId: booking.id };
const headers = { "Booking-Token": must(booking.manageToken) };
const confirmed = await client.POST("/api/bookings/{bookingId}/confirm", { params: { path }, headers });
ensure(must(confirmed.data, confirmed.error).status === "CONFIRMED", "not confirmed");

const full = await hold(crypto.randomUUID());
ensure(full.error !== undefined, "more seats than there are");
switch (full.error.code) {
  case "slot-full":
    ensure(full.error.availableSeats === slot.availableSeats - 2, "other seats");
    break;
  case "slot-closed":
  default:
    throw new Error(full.error.detail);
}

const cancelled = await client.DELETE("/api/bookings/{bookingId}", { params: { path }, headers });
ensure(must(cancelled.data, cancelled.error).status === "CANCELLED", "not cancelled");
const missing = await client.GET("/api/slots/{slotId}", { params: { path: { slotId: 2 ** 52 } } });
ensure(missing.error?.code === "slot-not-found", "found");

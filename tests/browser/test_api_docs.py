"""The API docs in a browser: what stands first, and where a padlock is shown."""

from playwright.sync_api import Page

SUMMARIES = ".opblock-summary"


def names(page: Page, within: str) -> list[str]:
    """The operations whose line has this in it, in their order on the page."""
    found = page.locator(f".opblock:has({within})").evaluate_all("all => all.map(each => each.id)")
    return [str(name).rpartition("-")[2] for name in found]


def test_operations_stand_in_order_and_padlocks_close_with_a_log_in_and_not_before(window: Page) -> None:
    window.goto("/api-docs")
    window.locator(SUMMARIES).last.wait_for()
    assert window.locator("main").count() == 1, "Swagger UI brings its own"
    all_of_them = names(window, SUMMARIES)
    assert all_of_them[:2] == ["log_in", "register"]
    learned = [
        all_of_them.index(name) for name in ("log_in", "list_doctors", "list_slots", "hold_seats", "create_slot")
    ]
    assert learned == sorted(learned)
    assert names(window, f"{SUMMARIES} .authorization__btn .locked") == []
    without = set(all_of_them) - set(names(window, f"{SUMMARIES} .authorization__btn .unlocked"))
    assert {"log_in", "register", "get_doctor", "list_slots", "get_slot", "get_health"} <= without
    assert not {"get_account", "hold_seats", "confirm_booking", "create_slot"} & without
    window.locator(".auth-wrapper .authorize").first.click()
    window.locator("input[aria-label='auth-bearer-value']").fill("any")
    window.locator(".auth-btn-wrapper .authorize").first.click()
    window.locator(f"{SUMMARIES} .authorization__btn .locked").first.wait_for(state="attached")
    closed = names(window, f"{SUMMARIES} .authorization__btn .locked")
    assert {"hold_seats", "list_doctors", "get_booking", "create_slot"} <= set(closed)

"""Step 1: the first account, and what the log stores."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from console import setup_progress
from console.access import public
from console.accounts import AdminExists, admin_exists, make_first_admin
from console.pages.session.views import start_session
from console.pages.settings.forms import RetentionForm
from console.pages.setup.forms import AccountForm
from console.pages.setup.gate import consume_setup_token, has_setup_token, locked_page, steps
from gateway import store

# Proposed default: bodies contain personal data, and are rarely needed after a week.
BODY_DAYS = 7


@sensitive_post_parameters()
@sensitive_variables()
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@public
def account(request: HttpRequest) -> HttpResponse:
    """Show the form, or create the account."""
    if admin_exists():
        return redirect("setup")
    if not has_setup_token(request):
        return locked_page(request)
    options = store.load_options()
    form_data = request.POST if request.method == "POST" else None
    person = AccountForm(form_data)
    log = RetentionForm(form_data, options=options)
    if form_data is None:
        log.initial["body_days"] = log.initial["body_days"] or BODY_DAYS
    elif person.is_valid() and log.is_valid():
        return _create_account(request, person, log)
    context = {
        "person": person,
        "log": [(log[name], options.values[name]) for name in log.setting_fields],
        **steps("account"),
    }
    return render(
        request, "console/setup/account.html", context, status=200 if form_data is None else 422
    )


def _create_account(request: HttpRequest, person: AccountForm, log: RetentionForm) -> HttpResponse:
    name, password = person.cleaned_data["username"], person.cleaned_data["password"]
    try:
        user = make_first_admin(name, password)
    except AdminExists:
        return redirect("setup")
    store.set_options(log.values())
    setup_progress.advance("provider")
    consume_setup_token(request)
    user.backend = "django.contrib.auth.backends.ModelBackend"
    start_session(request, user)
    return redirect("setup-provider")

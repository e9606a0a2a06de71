"""URLs of evaluations and their runs."""

from __future__ import annotations

from django.urls import path

from console.pages.evaluate import from_log, from_playground, run_views, views

urlpatterns = [
    path("evaluate", views.evaluations, name="evaluate"),
    path("evaluate/new", views.evaluation_new, name="evaluation-new"),
    path("evaluate/models", views.evaluation_models, name="evaluation-models"),
    path("evaluate/import", views.evaluation_import, name="evaluation-import"),
    path("evaluate/<int:pk>", views.evaluation, name="evaluation"),
    path("evaluate/<int:pk>/edit", views.evaluation_edit, name="evaluation-edit"),
    path("evaluate/<int:pk>/delete", views.evaluation_delete, name="evaluation-delete"),
    path("evaluate/<int:pk>/copy", views.evaluation_copy, name="evaluation-copy"),
    path("evaluate/<int:pk>/file", views.evaluation_file, name="evaluation-file"),
    path("evaluate/<int:pk>/cases", views.cases_add, name="evaluation-cases"),
    path("evaluate/<int:pk>/cases/<int:number>", views.case_edit, name="evaluation-case"),
    path(
        "evaluate/<int:pk>/cases/<int:number>/delete",
        views.case_delete,
        name="evaluation-case-delete",
    ),
    path("evaluate/<int:pk>/log", from_log.log_to_cases, name="evaluation-log"),
    path("evaluate/requests/<int:request_pk>", from_log.request_to_case, name="evaluation-request"),
    path(
        "playground/evaluation",
        from_playground.playground_to_evaluation,
        name="playground-evaluation",
    ),
    path("evaluate/<int:pk>/runs", run_views.run_start, name="evaluation-start"),
    path("evaluate/runs/<uuid:uuid>", run_views.run_page, name="evaluation-run"),
    path("evaluate/runs/<uuid:uuid>.<str:kind>", run_views.run_export, name="evaluation-export"),
    path(
        "evaluate/runs/<uuid:uuid>/cases/<int:number>",
        run_views.run_case,
        name="evaluation-run-case",
    ),
    path("evaluate/runs/<uuid:uuid>/delete", run_views.run_delete, name="evaluation-run-delete"),
    path(
        "evaluate/runs/<uuid:uuid>/<str:action>", run_views.run_control, name="evaluation-control"
    ),
]

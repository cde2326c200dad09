"""The consumer under /api/, as in the LMS, and the pages around it."""

from django.urls import include, path

from . import views

urlpatterns = [
    path("api/", include("lti_consumer.plugin.urls", namespace="lti_consumer")),
    path("launch/<str:username>", views.launch),
    path("course/<str:username>", views.course_page),
    path("control", views.control),
]

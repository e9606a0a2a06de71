"""The site with Django's admin, as DRAGOMAN_DJANGO_ADMIN mounts it."""

from gateway.config import urls

urlpatterns = [*urls.admin_urls, *urls.urlpatterns]
